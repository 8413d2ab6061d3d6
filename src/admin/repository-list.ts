/** The repositories of all upstreams as one list, in the order of their names. */
import type { CatalogStore, RepositorySummary } from '../metadata/catalog-store.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { AdminError, type PageRequest } from './administration.ts';
import type { ImageNames } from './names.ts';
import { pageOf } from './pages.ts';
import type { Page, RepositoryView } from './views.ts';

export interface RepositoryListOptions {
  readonly store: Pick<CatalogStore, 'listRepositories'>;
  readonly names: ImageNames;
  readonly upstreams: readonly string[];
}

interface Entry {
  readonly upstream: string;
  readonly summary: RepositorySummary;
  /** By which they are in order: the name as it is shown, in nearly all cases. */
  readonly key: string;
}

/** After every name that has what stands before it at its beginning. */
const LAST = '\u{10ffff}';

export class RepositoryList {
  readonly #options: RepositoryListOptions;

  constructor(options: RepositoryListOptions) {
    this.#options = options;
  }

  page({ search = '', ...page }: PageRequest & { readonly search?: string | undefined }) {
    const wanted = search.toLowerCase();
    return pageOf(page, (count) => this.#list(page.after, count, wanted), {
      keyOf: ({ key }) => key,
      viewOf: (entry) => this.#viewOf(entry),
    }) satisfies Promise<Page<RepositoryView>>;
  }

  /** @throws AdminError `unknown` where it neither holds anything nor has a tag */
  async mustHave(repository: RepositoryKey): Promise<void> {
    const { store, names } = this.#options;
    const { upstream, name } = repository;
    const [first] = await store.listRepositories(upstream, justBefore(name), 1);
    if (first?.name === name) return;
    throw new AdminError('unknown', `nothing of ${names.format(repository)} is cached`);
  }

  async #list(after: string | undefined, count: number, search: string): Promise<readonly Entry[]> {
    const lists = this.#options.upstreams.map((upstream) => this.#listOf(upstream, after, count, search));
    const all = (await Promise.all(lists)).flat();
    return all.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, count);
  }

  async #listOf(
    upstream: string,
    after: string | undefined,
    count: number,
    search: string,
  ): Promise<readonly Entry[]> {
    const { store, names } = this.#options;
    const prefix = names.prefixOf(upstream);
    if (after !== undefined && after >= `${prefix}${LAST}`) return [];
    const part = partWithin(prefix, search);
    const found: Entry[] = [];
    for (let last = after?.startsWith(prefix) ? after.slice(prefix.length) : undefined; ;) {
      const page = await store.listRepositories(upstream, last, count, part);
      for (const summary of page) {
        const key = `${prefix}${summary.name}`;
        if (key.includes(search)) found.push({ upstream, summary, key });
      }
      last = page.at(-1)?.name;
      if (found.length >= count || page.length < count) break;
    }
    return found.filter(({ key }) => after === undefined || key > after);
  }

  #viewOf({ upstream, summary: { name, usedAt, ...counts } }: Entry): RepositoryView {
    return {
      repository: this.#options.names.format({ upstream, name }),
      ...{ upstream, ...counts },
      ...(usedAt === undefined ? {} : { lastUsedAt: new Date(usedAt).toISOString() }),
    };
  }
}

/** What every name has to have in it that, with the prefix before it, has what is searched for in it. */
function partWithin(prefix: string, search: string): string {
  if (prefix.includes(search)) return '';
  for (let start = search.length - 1; start > 0; start -= 1) {
    if (prefix.endsWith(search.slice(0, start))) return search.slice(start);
  }
  return search;
}

/** What a page has to come after for this name to be its first: no name has a tilde in it. */
function justBefore(name: string): string {
  const last = name.length - 1;
  return `${name.slice(0, last)}${String.fromCharCode(name.charCodeAt(last) - 1)}~`;
}
