/** A client of the admin API (docs/admin-api.yaml): a method for each question, errors as this command tells them. */
import type {
  ClientView,
  ErrorView,
  JobView,
  Page,
  PinView,
  PurgeView,
  RepositoryView,
  StateView,
  TagView,
  TroubleView,
} from '../admin/views.ts';
import type { Secret } from '../lib/secret.ts';
import { InterruptedError, reasonOf, RefusedError, UnreachableError } from './errors.ts';

const TIMEOUT_MS = 30_000;
/** What is asked for when the command is being ended. */
const PARTING_TIMEOUT_MS = 5000;
const PAGE_SIZE = 500;

export interface Endpoint {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: Secret | undefined;
}

export type PurgeBody =
  { readonly reference: string } | { readonly repository: string } | { readonly everything: true };

interface Call {
  readonly method?: 'POST' | 'PUT' | 'DELETE';
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** Undefined waits for as long as it takes. */
  readonly timeoutMs?: number | undefined;
  readonly isParting?: boolean;
}

export class AdminClient {
  readonly url: string;
  readonly #token: Secret | undefined;
  readonly #interrupted: AbortSignal;

  constructor({ url, token }: Endpoint, interrupted: AbortSignal) {
    this.url = url;
    this.#token = token;
    this.#interrupted = interrupted;
  }

  state(): Promise<StateView> {
    return this.#ask('state');
  }

  troubles(): Promise<readonly TroubleView[]> {
    return this.#ask('errors');
  }

  clients(): Promise<readonly ClientView[]> {
    return this.#ask('clients');
  }

  /** @param search a part of the name */
  repositories(search?: string): Promise<readonly RepositoryView[]> {
    return this.#all('repositories', { search });
  }

  tags(repository: string): Promise<readonly TagView[]> {
    return this.#all('tags', { repository });
  }

  /** The first ones only. */
  async someRepositories(limit: number): Promise<readonly RepositoryView[]> {
    return (await this.#ask<Page<RepositoryView>>('repositories', { query: { limit: String(limit) } })).items;
  }

  async someTags(repository: string, limit: number): Promise<readonly TagView[]> {
    const query = { repository, limit: String(limit) };
    return (await this.#ask<Page<TagView>>('tags', { query })).items;
  }

  pins(): Promise<readonly PinView[]> {
    return this.#all('pins', {});
  }

  /** What is large takes long. */
  purge(body: PurgeBody): Promise<PurgeView> {
    return this.#ask('purge', { method: 'POST', body, timeoutMs: undefined });
  }

  pin(reference: string): Promise<PinView> {
    return this.#ask('pins', { method: 'POST', body: { reference } });
  }

  async unpin(reference: string): Promise<void> {
    await this.#ask('pins', { method: 'DELETE', query: { reference } });
  }

  prefetch(references: readonly string[], platforms: readonly string[]): Promise<JobView> {
    return this.#ask('prefetch', { method: 'POST', body: { references, platforms } });
  }

  evict(bytes: number | undefined): Promise<JobView> {
    return this.#ask('evict', { method: 'POST', body: bytes === undefined ? {} : { bytes } });
  }

  scrub(): Promise<JobView> {
    return this.#ask('scrub', { method: 'POST', body: {} });
  }

  check(): Promise<JobView> {
    return this.#ask('check', { method: 'POST', body: {} });
  }

  jobs(): Promise<readonly JobView[]> {
    return this.#ask('jobs');
  }

  job(id: string): Promise<JobView> {
    return this.#ask(`jobs/${encodeURIComponent(id)}`);
  }

  /** After Ctrl-C too. */
  cancel(id: string): Promise<JobView> {
    return this.#ask(`jobs/${encodeURIComponent(id)}`, {
      method: 'DELETE',
      timeoutMs: PARTING_TIMEOUT_MS,
      isParting: true,
    });
  }

  async setOffline(offline: boolean): Promise<void> {
    await this.#ask('offline', { method: 'PUT', body: { offline } });
  }

  async #all<T>(path: string, query: Readonly<Record<string, string | undefined>>): Promise<readonly T[]> {
    const items: T[] = [];
    let after: string | undefined;
    do {
      const page: Page<T> = await this.#ask<Page<T>>(path, {
        query: { ...query, after, limit: String(PAGE_SIZE) },
      });
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    return items;
  }

  /** @throws RefusedError, UnreachableError, InterruptedError */
  async #ask<T>(path: string, call: Call = {}): Promise<T> {
    let status: number;
    let answer: unknown;
    try {
      const response = await this.#send(path, call);
      status = response.status;
      const text = await response.text();
      answer = text === '' ? undefined : parseJson(text);
    } catch (cause) {
      if (this.#interrupted.aborted && !call.isParting) throw new InterruptedError({ cause });
      throw new UnreachableError(`${this.url} can't be reached: ${reasonOf(cause)}`, { cause });
    }
    if (status >= 200 && status < 300 && (answer !== undefined || status === 204)) return answer as T;
    const { error } = (answer ?? {}) as Partial<ErrorView>;
    if (typeof error !== 'string') {
      throw new UnreachableError(`${this.url} answers ${status}, and not as the admin API of an Entrepôt`);
    }
    const hint = status === 401 ? '; give it by --token-file FILE or ENTREPOT_ADMIN_TOKEN_FILE' : '';
    throw new RefusedError(status, `${error}${hint}`);
  }

  #send(path: string, { method, query, body, isParting, ...rest }: Call): Promise<Response> {
    const url = new URL(`${this.url}/api/v1/${path}`);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const timeoutMs = 'timeoutMs' in rest ? rest.timeoutMs : TIMEOUT_MS;
    const signals = [
      ...(isParting ? [] : [this.#interrupted]),
      ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]),
    ];
    return fetch(url, {
      method: method ?? 'GET',
      // Where it leads to need not be trusted with the token.
      redirect: 'manual',
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#token ? { authorization: `Bearer ${this.#token.reveal()}` } : {}),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.any(signals),
    });
  }
}

/** Undefined where it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
