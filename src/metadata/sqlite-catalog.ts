/**
 * The index as whoever looks at what is cached sees it: what takes long is read in small parts, between which others
 * get their turn.
 */
import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type {
  CatalogStore,
  ContentSummary,
  ManifestSummary,
  Pin,
  PinSummary,
  RepositorySummary,
  TagSummary,
} from './catalog-store.ts';
import type { RepositoryKey } from './metadata-store.ts';
import { pagesOf } from './pages.ts';
import type { PartOfRepository, RepositoryIdRow } from './sqlite-catalog-rows.ts';
import type { SqliteIndex } from './sqlite-index.ts';

/** Read in one turn: a millisecond or two of each in an index of 100 000 blobs. */
const AT_ONCE = { names: 1000, tags: 1000, rows: 250, manifests: 100, reaches: 4, contents: 20 } as const;

type Part = Omit<PartOfRepository<never>, 'last'>;
const NOTHING: Part = { count: 0, bytes: 0, sharedBytes: 0, usedAt: null };

export class SqliteCatalog implements CatalogStore {
  readonly #index: SqliteIndex;

  constructor(index: SqliteIndex) {
    this.#index = index;
  }

  async listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
    search = '',
  ): Promise<readonly RepositorySummary[]> {
    // Names have no capitals.
    const part = search.toLowerCase();
    const read = (last: RepositoryIdRow | undefined, size: number) =>
      this.#index.read(({ catalog }) => catalog.names(upstream, last?.name ?? after, size));
    const found: RepositorySummary[] = [];
    for await (const page of pagesOf(AT_ONCE.names, read)) {
      for (const row of page) {
        if (!row.name.includes(part)) continue;
        const summary = await this.#summaryOf(row);
        if (summary.tags + summary.manifests + summary.blobs > 0) found.push(summary);
        if (found.length >= limit) return found;
      }
    }
    return found;
  }

  async listTags(
    repository: RepositoryKey,
    after: Tag | undefined,
    limit: number,
  ): Promise<readonly TagSummary[]> {
    const tags = await this.#page(
      repository,
      limit,
      AT_ONCE.tags,
      (id, last: Omit<TagSummary, 'bytes'> | undefined, size) =>
        this.#index.read(({ catalog }) => catalog.tags(id, last?.tag ?? after, size)),
    );
    return this.#inTurns(tags, AT_ONCE.reaches, (tag) => ({
      ...tag,
      bytes: this.#index.read(({ catalog }) => catalog.reachedBytes(tag.descriptor.digest)),
    }));
  }

  async listManifests(
    repository: RepositoryKey,
    after: Digest | undefined,
    limit: number,
  ): Promise<readonly ManifestSummary[]> {
    return this.#page(repository, limit, AT_ONCE.manifests, (id, last: ManifestSummary | undefined, size) =>
      this.#index.read(({ catalog }) => catalog.manifests(id, last?.descriptor.digest ?? after, size)),
    );
  }

  async describe(repository: RepositoryKey, digests: readonly Digest[]): Promise<readonly ContentSummary[]> {
    // No row has that key.
    const id = this.#idOf(repository) ?? 0;
    return this.#inTurns(digests, AT_ONCE.contents, (digest) =>
      this.#index.read(({ catalog }) => catalog.describe(id, digest)),
    );
  }

  async listPins(after: Pin | undefined, limit: number): Promise<readonly PinSummary[]> {
    const page = this.#index.read(({ pins }) => pins.page(after, limit));
    return this.#inTurns(page, AT_ONCE.reaches, (pin) =>
      this.#index.read(({ pins, manifests, catalog }) => {
        const target = pins.targetOf(pin);
        if (target === undefined) return { ...pin, bytes: 0, isHeld: false };
        const isHeld = manifests.isHeld(pin.repository, target);
        return { ...pin, bytes: catalog.reachedBytes(target), isHeld };
      }),
    );
  }

  async #summaryOf({ id, name }: RepositoryIdRow): Promise<RepositorySummary> {
    const tags = await this.#sumOf<string>((last, size) =>
      this.#index.read(({ catalog }) => catalog.tagsPart(id, last, size)),
    );
    const [manifests, blobs] = [await this.#contentOf('manifests', id), await this.#contentOf('blobs', id)];
    const usedAt = Math.max(manifests.usedAt ?? 0, blobs.usedAt ?? 0);
    return {
      name,
      tags: tags.count,
      manifests: manifests.count,
      blobs: blobs.count,
      bytes: manifests.bytes + blobs.bytes,
      sharedBytes: manifests.sharedBytes + blobs.sharedBytes,
      usedAt: manifests.count + blobs.count > 0 ? usedAt : undefined,
    };
  }

  #contentOf(kind: 'manifests' | 'blobs', id: number): Promise<Part> {
    return this.#sumOf<Buffer>((last, size) =>
      this.#index.read(({ catalog }) => catalog.part(kind, id, last, size)),
    );
  }

  async #sumOf<K>(read: (last: K | null, size: number) => PartOfRepository<K> | undefined): Promise<Part> {
    let sum = NOTHING;
    for (let last: K | null = null; ;) {
      const part = read(last, AT_ONCE.rows);
      await setImmediate();
      if (!part || part.last === null) return sum;
      sum = {
        count: sum.count + part.count,
        bytes: sum.bytes + part.bytes,
        sharedBytes: sum.sharedBytes + part.sharedBytes,
        usedAt: Math.max(sum.usedAt ?? 0, part.usedAt ?? 0),
      };
      if (part.count < AT_ONCE.rows) return sum;
      last = part.last;
    }
  }

  /** Of a repository, read in pages of their own: what is asked for at once may be more than one turn should take. */
  async #page<T>(
    repository: RepositoryKey,
    limit: number,
    atOnce: number,
    read: (id: number, last: T | undefined, size: number) => readonly T[],
  ): Promise<readonly T[]> {
    const id = this.#idOf(repository);
    if (id === undefined) return [];
    const items: T[] = [];
    for await (const page of pagesOf<T>(Math.min(atOnce, limit), (last, size) => read(id, last, size))) {
      items.push(...page);
      if (items.length >= limit) break;
    }
    return items.slice(0, limit);
  }

  async #inTurns<T, R>(items: readonly T[], atOnce: number, work: (item: T) => R): Promise<readonly R[]> {
    const results: R[] = [];
    for (const item of items) {
      results.push(work(item));
      if (results.length % atOnce === 0) await setImmediate();
    }
    return results;
  }

  #idOf(repository: RepositoryKey): number | undefined {
    return this.#index.read(({ repositories }) => repositories.findId(repository));
  }
}
