/**
 * An administration in memory, for whoever serves or asks one: with content that is always the same until a test changes
 * it, and a memory of what was asked.
 */
import {
  AdminError,
  type Actions,
  type Administration,
  type Catalog,
  type Overview,
  type PageRequest,
} from '../../src/admin/administration.ts';
import type { JobView, ManifestView, Page, PrefetchBlobView } from '../../src/admin/views.ts';
import { NOW, prefetchJob, scriptedContent, type ScriptedContent } from './scripted-content.ts';

export interface ScriptedCall {
  readonly method: keyof Overview | keyof Catalog | keyof Actions;
  readonly arguments: readonly unknown[];
}

export class ScriptedAdministration implements Administration {
  /** What is answered from; a test may change any of it at any time. */
  readonly content: ScriptedContent = scriptedContent();
  /** What was asked, in order. The event stream asks too. */
  readonly calls: ScriptedCall[] = [];
  /** What every method throws while it is set. */
  failure: Error | undefined;
  #jobs = 1;

  /** The arguments of every call of that method. */
  callsOf(method: ScriptedCall['method']): readonly (readonly unknown[])[] {
    return this.calls.filter((call) => call.method === method).map((call) => call.arguments);
  }

  /** Has a prefetch job get that many bytes further, blob by blob in their order; it succeeds with the last one. */
  advance(id: string, bytes: number): JobView {
    const job = this.#find(id);
    let left = bytes;
    const further = (blob: PrefetchBlobView): PrefetchBlobView => {
      const more = Math.min(left, blob.size - blob.bytes);
      if (more === 0) return blob;
      left -= more;
      const isWhole = blob.bytes + more === blob.size;
      return { ...blob, bytes: blob.bytes + more, state: isWhole ? 'done' : 'running' };
    };
    const prefetch = (job.prefetch ?? []).map((image) => {
      const blobs = image.blobs.map(further);
      const isWhole = blobs.every(({ state }) => state === 'done' || state === 'present');
      return { ...image, blobs, state: isWhole ? ('done' as const) : image.state };
    });
    const isOver = prefetch.every(({ state }) => state === 'done');
    return this.#put({ ...job, prefetch, ...(isOver ? { state: 'succeeded', endedAt: NOW } : {}) });
  }

  /** Ends a job, whatever kind it is of. */
  end(id: string, how: Partial<JobView> & Pick<JobView, 'state'>): JobView {
    return this.#put({ ...this.#find(id), endedAt: NOW, ...how });
  }

  readonly overview: Overview = {
    state: () => this.#asked('state', [], () => this.content.state),
    history: (from, stepSeconds) => this.#asked('history', [from, stepSeconds], () => this.content.history),
    troubles: () => this.#called('troubles', [], () => this.content.troubles),
    clients: () => this.#called('clients', [], () => this.content.clients),
    downloads: () => this.#called('downloads', [], () => this.content.downloads),
  };

  readonly catalog: Catalog = {
    listRepositories: (page) =>
      this.#asked('listRepositories', [page], () => {
        const { repositories } = this.content;
        const found = repositories.filter(({ repository }) => repository.includes(page.search ?? ''));
        return pageOf(found, page, ({ repository }) => repository);
      }),
    listTags: (repository, page) =>
      this.#asked('listTags', [repository, page], () =>
        pageOf(this.content.tags.get(repository) ?? unknown(repository), page, ({ tag }) => tag),
      ),
    listManifests: (repository, page) =>
      this.#asked('listManifests', [repository, page], () => {
        if (!this.content.tags.has(repository)) unknown(repository);
        const held = this.content.manifests.filter((manifest) => manifest.repository === repository);
        const sorted = held.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
        return pageOf(sorted.map(summaryOf), page, ({ digest }) => digest);
      }),
    manifest: (reference) =>
      this.#asked('manifest', [reference], () => {
        const { repository, digest, tag } = partsOf(reference);
        const found = this.content.manifests.find(
          (manifest) =>
            manifest.repository === repository &&
            (digest === undefined ? manifest.tags.includes(tag) : manifest.digest === digest),
        );
        return found ?? unknown(reference);
      }),
  };

  readonly actions: Actions = {
    purge: (request) =>
      this.#asked('purge', [request], () => ({
        ...{ freedBytes: 7_340_032, tags: 1, manifests: 2, blobs: 4 },
        inUse: { blobs: 1, bytes: 1024 },
      })),
    listPins: (page) =>
      this.#asked('listPins', [page], () => pageOf(this.content.pins, page, (pin) => pin.reference)),
    pin: (reference) =>
      this.#asked('pin', [reference], () => {
        const known = this.content.pins.find((pin) => pin.reference === canonical(reference));
        if (known) return known;
        const pin = { reference: canonical(reference), upstream: 'docker.io', bytes: 0, isHeld: false };
        this.content.pins.push(pin);
        return pin;
      }),
    unpin: (reference) =>
      this.#asked('unpin', [reference], () => {
        const index = this.content.pins.findIndex((pin) => pin.reference === canonical(reference));
        if (index === -1) unknown(reference);
        this.content.pins.splice(index, 1);
      }),
    prefetch: (request) =>
      this.#called('prefetch', [request], () => {
        const [reference = ''] = request.references;
        return this.#start(prefetchJob(this.#nextId('prefetch'), canonical(reference)));
      }),
    evict: (bytes) => this.#called('evict', [bytes], () => this.#start(this.#job('evict'))),
    scrub: () =>
      this.#called('scrub', [], () => {
        const running = this.content.jobs.some(({ kind, state }) => kind === 'scrub' && state === 'running');
        if (running) throw new AdminError('conflict', 'a scrub is running already');
        return this.#start(this.#job('scrub'));
      }),
    check: () => this.#called('check', [], () => this.#start(this.#job('check'))),
    jobs: () => this.#called('jobs', [], () => this.content.jobs),
    job: (id) => this.#called('job', [id], () => this.#find(id)),
    cancel: (id) => this.#called('cancel', [id], () => this.end(id, { state: 'cancelled' })),
    setOffline: (isOffline) =>
      this.#called('setOffline', [isOffline], () => {
        this.content.state = { ...this.content.state, isOffline };
      }),
  };

  #called<T>(method: ScriptedCall['method'], given: readonly unknown[], answer: () => T): T {
    this.calls.push({ method, arguments: given });
    if (this.failure) throw this.failure;
    return answer();
  }

  #asked<T>(method: ScriptedCall['method'], given: readonly unknown[], answer: () => T): Promise<T> {
    return Promise.resolve().then(() => this.#called(method, given, answer));
  }

  #job(kind: JobView['kind']): JobView {
    return { id: this.#nextId(kind), kind, state: 'running', startedAt: NOW };
  }

  #nextId(kind: JobView['kind']): string {
    this.#jobs += 1;
    return `${kind}-${this.#jobs}`;
  }

  #start(job: JobView): JobView {
    this.content.jobs.unshift(job);
    return job;
  }

  #find(id: string): JobView {
    return this.content.jobs.find((job) => job.id === id) ?? unknown(id);
  }

  #put(job: JobView): JobView {
    this.content.jobs = this.content.jobs.map((other) => (other.id === job.id ? job : other));
    return job;
  }
}

function pageOf<T>(all: readonly T[], { after, limit }: PageRequest, keyOf: (item: T) => string): Page<T> {
  const rest = all.filter((item) => after === undefined || keyOf(item) > after);
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return { items, ...(rest.length > limit && last !== undefined ? { next: keyOf(last) } : {}) };
}

function summaryOf({ digest, mediaType, size, tags, lastUsedAt }: ManifestView) {
  return { digest, mediaType, size, tags, lastUsedAt };
}

/** `library/alpine:3` of `alpine:3`. */
function canonical(reference: string): string {
  const { repository, digest, tag } = partsOf(reference);
  return digest === undefined ? `${repository}:${tag}` : `${repository}@${digest}`;
}

function partsOf(reference: string) {
  const [, name = '', tag, digest] =
    /^([a-z0-9._/-]+?)(?::([\w.-]+))?(?:@(sha256:[a-f0-9]{64}))?$/.exec(reference) ?? [];
  if (name === '') throw new AdminError('invalid', `${JSON.stringify(reference)} is no reference`);
  return { repository: name.includes('/') ? name : `library/${name}`, tag: tag ?? 'latest', digest };
}

function unknown(what: string): never {
  throw new AdminError('unknown', `there is no ${what} here`);
}
