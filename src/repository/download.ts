/**
 * One blob on its way in, for everybody who wants it. It belongs to no client. Its steps: take a place, fetch (from
 * where an earlier download broke off), reserve, spool (going on where a connection broke), verify, adopt, link.
 */
import type { BlobContent, BlobStore } from '../blobs/blob-store.ts';
import { ContentMismatchError, type Spool, type SpoolFile } from '../blobs/spool.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { UpstreamError, type UpstreamBlob } from '../upstream/upstream.ts';
import { BlobSource, type DownloadOrder, type SourceEvent, type SourcePorts } from './blob-source.ts';
import type { CacheSpace, Reservation } from './cache-space.ts';
import { ANSWER_MS, within } from './deadline.ts';
import { fillSpool, RESERVE_STEP_BYTES } from './fill-spool.ts';
import { following } from './following.ts';
import { Passing, type PassingPorts } from './passing.ts';
import { FOR_AN_ANSWER } from './persist.ts';

export type DownloadOutcome =
  'stored' | 'uncached' | 'absent' | 'mismatch' | 'failed' | 'aborted' | 'abandoned';

/** What happens to a download, for metrics and the log. */
export type DownloadEvent =
  | SourceEvent
  | { readonly kind: 'resumed'; readonly digest: Digest; readonly offset: number }
  | {
      readonly kind: 'ended';
      readonly outcome: DownloadOutcome;
      readonly repository: RepositoryKey;
      readonly digest: Digest;
      readonly bytes: number;
      readonly durationMs: number;
      readonly cause: Error | undefined;
    };

/** How far it has come. */
export interface DownloadProgress {
  readonly digest: Digest;
  /** The one that it was begun for. */
  readonly repository: RepositoryKey;
  readonly state: 'queued' | 'running' | 'storing';
  /** Of the blob, those of an earlier download that it goes on from included. */
  readonly bytes: number;
  readonly size: number | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** That wait for it or read it now. */
  readonly clients: number;
}

export interface DownloadPorts extends SourcePorts, PassingPorts {
  readonly spool: Spool;
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
  readonly space: CacheSpace;
  /** What becomes of it when nobody wants it any more: `stop` keeps what has come for the next time. */
  readonly whenAbandoned: 'finish' | 'stop';
  readonly observe: (event: DownloadEvent) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** How a client gets at the bytes, once upstream has begun to send them. */
export interface StartedDownload {
  /**
   * @param client on whose behalf, should it need an answer of its own, for which it may have to wait
   * @param signal aborted when the client waits no longer
   */
  open(client: string, signal: AbortSignal): Promise<BlobContent>;
}

export class Download {
  readonly digest: Digest;
  /** Rejects when upstream gives no answer; `undefined` when it says that there is no such blob. */
  readonly started: Promise<StartedDownload | undefined>;
  /** Resolves when nothing is left to do, however it ended. */
  readonly settled: Promise<void>;
  readonly #ports: DownloadPorts;
  readonly #order: DownloadOrder;
  readonly #source: BlobSource;
  readonly #passing: Passing;
  readonly #abort = new AbortController();
  readonly #start = Promise.withResolvers<StartedDownload | undefined>();
  /** Repositories that upstream has shown to hold the blob, by their keys. */
  readonly #holders = new Map<string, RepositoryKey>();
  readonly #startedAt: number;
  #step: 'queued' | 'running' | 'storing' | 'over' = 'queued';
  #size: number | undefined;
  #file: SpoolFile | undefined;
  #wanted = 0;
  #isAbandoned = false;

  /** @param predecessor an earlier one for the same blob, which may still be clearing up */
  constructor(ports: DownloadPorts, order: DownloadOrder, predecessor: Promise<void> | undefined) {
    this.digest = order.digest;
    this.#ports = ports;
    this.#order = order;
    this.#startedAt = ports.now();
    this.#source = new BlobSource(ports, order);
    this.#passing = new Passing(ports, this.#source);
    this.started = this.#start.promise;
    this.started.catch(() => undefined); // Those who wait for it hear of it; there may be none.
    this.admit(order.repository);
    this.settled = this.#run(predecessor);
  }

  /** Bytes of the blob, where upstream has said so by now. */
  get size(): number | undefined {
    return this.#size;
  }

  /** `undefined` when it is over. */
  get progress(): DownloadProgress | undefined {
    const { digest } = this;
    const state = this.#step;
    if (state === 'over' || this.#isAbandoned) return undefined;
    // What is not kept may be fetched once for each of its clients.
    const bytes = Math.min(this.#size ?? Infinity, this.#file?.bytesWritten ?? this.#source.bytesFetched);
    const known = { size: this.#size, startedAt: this.#startedAt, clients: this.#wanted };
    return { digest, repository: this.#order.repository, state, bytes, ...known };
  }

  /** It waits for a place. */
  get isQueued(): boolean {
    return this.#step === 'queued';
  }

  /** Nobody may join any more: the blob is in the store or has failed to get there, and the spool file goes. */
  get isOver(): boolean {
    return this.#step === 'over' || this.#isAbandoned;
  }

  isFor(repository: RepositoryKey): boolean {
    return this.#holders.has(keyOf(repository));
  }

  /** It is this repository that upstream is asked for, and what upstream says of it is so. */
  isAskedOf(repository: RepositoryKey): boolean {
    return keyOf(this.#order.repository) === keyOf(repository);
  }

  /** Upstream has shown that this repository holds the blob too. */
  admit(repository: RepositoryKey): void {
    this.#holders.set(keyOf(repository), repository);
  }

  /** To be disposed, once, by whoever wanted it and does so no longer. */
  want(): Disposable {
    this.#wanted += 1;
    return {
      [Symbol.dispose]: () => {
        this.#wanted -= 1;
        if (this.#wanted === 0) this.#beAbandoned();
      },
    };
  }

  abort(): void {
    this.#abort.abort(new UpstreamError('offline', 'the mirror is shutting down'));
  }

  #beAbandoned(): void {
    this.#passing.letGo();
    // What waits in the queue has cost nothing yet, and is not worth its turn.
    const isStopped = this.#step === 'running' && this.#ports.whenAbandoned === 'stop';
    if (!this.isQueued && !isStopped) return;
    this.#isAbandoned = true;
    this.#abort.abort(new UpstreamError('offline', 'nobody wants the blob any more'));
  }

  async #run(predecessor: Promise<void> | undefined): Promise<void> {
    await predecessor;
    const startedAt = performance.now();
    let outcome: DownloadOutcome;
    let cause: Error | undefined;
    try {
      ({ outcome, cause } = await this.#transfer());
    } catch (error) {
      cause = error as Error;
      this.#start.reject(cause);
      outcome = cause instanceof ContentMismatchError ? 'mismatch' : 'failed';
      if (this.#abort.signal.aborted) outcome = this.#isAbandoned ? 'abandoned' : 'aborted';
    }
    this.#step = 'over';
    const { repository, digest } = this.#order;
    const durationMs = performance.now() - startedAt;
    const bytes = this.#source.bytesFetched;
    this.#ports.observe({ kind: 'ended', outcome, repository, digest, bytes, durationMs, cause });
  }

  async #transfer(): Promise<{ outcome: DownloadOutcome; cause?: Error }> {
    const { places, observe, space } = this.#ports;
    const { signal } = this.#abort;
    using held = new DisposableStack();
    held.use(await places.enter(this.#order.client, signal));
    this.#step = 'running';
    const first = await this.#firstAnswer();
    if (!first) {
      this.#step = 'over';
      this.#start.resolve(undefined);
      return { outcome: 'absent' };
    }
    held.defer(() => void first.body.destroy());
    const { size } = first;
    this.#size = size;
    const room = await this.#findRoom(size);
    if (room instanceof Error) {
      if (this.#wanted > 0) this.#passing.keep(first, held);
      this.#start.resolve({ open: (client, until) => this.#passing.open(size, client, until) });
      return { outcome: 'uncached', cause: room };
    }
    using reservation = room.reservation;
    await using file = room.file;
    this.#file = file;
    this.#start.resolve({ open: (client) => Promise.resolve(following(file, this.#passing, client)) });
    if (first.offset > 0) observe({ kind: 'resumed', digest: this.digest, offset: first.offset });
    const makeRoom = (bytes: number) => space.makeRoom(bytes);
    try {
      await fillSpool({ file, source: this.#source, reservation, makeRoom, signal }, first);
      this.#step = 'storing';
      await this.#store(file, reservation);
    } catch (error) {
      file.fail(error as Error);
      throw error;
    } finally {
      this.#step = 'over';
    }
    return { outcome: 'stored' };
  }

  /** From where an earlier download broke off, if upstream agrees that the blob goes on there. */
  async #firstAnswer(): Promise<UpstreamBlob | undefined> {
    const { spool } = this.#ports;
    return within(ANSWER_MS, this.#abort.signal, async (until) => {
      const offset = spool.resumableFrom(this.digest);
      const ask = (from: number) =>
        this.#source.persist(() => this.#source.fetch(from, until), FOR_AN_ANSWER, until);
      try {
        return await ask(offset);
      } catch (error) {
        const isRefused = error instanceof UpstreamError && error.failure === 'protocol';
        if (!isRefused || offset === 0) throw error;
        await spool.discard(this.digest);
        return ask(0);
      }
    });
  }

  /** Room in the cache and a file in the spool, or why there is neither: that is our problem, not the client's. */
  async #findRoom(size: number | undefined): Promise<{ reservation: Reservation; file: SpoolFile } | Error> {
    const { space, spool } = this.#ports;
    try {
      await using making = new AsyncDisposableStack();
      // The file first: what an earlier download left in it no longer counts as something that is kept.
      const file = making.use(await spool.create(this.digest, size));
      const reservation = await space.reserve(size ?? RESERVE_STEP_BYTES);
      if (!reservation) return new Error('there is no room for it in the cache');
      making.move();
      return { reservation, file };
    } catch (error) {
      return error as Error;
    }
  }

  async #store(file: SpoolFile, reservation: Reservation): Promise<void> {
    const { blobs, metadata } = this.#ports;
    const verified = await file.verify();
    await blobs.adopt(verified);
    let isCounted = false;
    try {
      // Those that are admitted while others are being linked are met too.
      for (const repository of this.#holders.values()) {
        await metadata.linkBlob(repository, { digest: this.digest, size: verified.size });
        isCounted = true;
        reservation[Symbol.dispose]();
      }
    } catch (error) {
      // Without a row it would not count, and the cache outgrow its bound for as long as the index takes nothing.
      if (!isCounted) await blobs.delete(this.digest);
      throw error;
    }
  }
}

function keyOf(repository: RepositoryKey): string {
  return `${repository.upstream}\n${repository.name}`;
}
