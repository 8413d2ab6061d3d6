/**
 * One blob on its way in, for everybody who wants it. It belongs to no client: it runs to its end whoever leaves. Its
 * steps: fetch, reserve, spool (going on where a connection broke), verify, adopt, link.
 */
import type { BlobContent, BlobStore } from '../blobs/blob-store.ts';
import { ContentMismatchError, SpoolFailedError, SpoolWriteError } from '../blobs/spool.ts';
import type { Spool, SpoolFile } from '../blobs/spool.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { UpstreamError, type Upstream, type UpstreamBlob } from '../upstream/upstream.ts';
import type { CacheSpace, Reservation } from './cache-space.ts';
import { ANSWER_MS, within } from './deadline.ts';
import { PassThrough, type PassThroughSource } from './pass-through.ts';
import { persist } from './persist.ts';

export type DownloadOutcome = 'stored' | 'uncached' | 'absent' | 'mismatch' | 'failed' | 'aborted';

/** What happens to a download, for metrics and the log. */
export type DownloadEvent =
  | { readonly kind: 'fetched'; readonly bytes: number }
  | { readonly kind: 'retried'; readonly digest: Digest; readonly offset: number; readonly cause: Error }
  | {
      readonly kind: 'ended';
      readonly outcome: DownloadOutcome;
      readonly repository: RepositoryKey;
      readonly digest: Digest;
      readonly bytes: number;
      readonly durationMs: number;
      readonly cause: Error | undefined;
    };

export interface DownloadPorts {
  readonly spool: Spool;
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
  readonly space: CacheSpace;
  readonly observe: (event: DownloadEvent) => void;
  /** Resolves after that many milliseconds; rejects when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** How a client gets at the bytes, once upstream has begun to send them. */
export interface StartedDownload {
  open(): BlobContent;
}

/** What is reserved at a time for a blob of unknown size. */
const RESERVE_STEP_BYTES = 4 * 1024 * 1024;

export class Download {
  readonly digest: Digest;
  /** Rejects when upstream gives no answer; `undefined` when it says that there is no such blob. */
  readonly started: Promise<StartedDownload | undefined>;
  /** Resolves when nothing is left to do, however it ended. */
  readonly settled: Promise<void>;
  readonly #ports: DownloadPorts;
  readonly #upstream: Upstream;
  readonly #repository: RepositoryKey;
  readonly #abort = new AbortController();
  readonly #start = Promise.withResolvers<StartedDownload | undefined>();
  /** Repositories that upstream has shown to hold the blob, by their keys. */
  readonly #holders = new Map<string, RepositoryKey>();
  #bytesFetched = 0;
  #isOver = false;

  constructor(ports: DownloadPorts, upstream: Upstream, repository: RepositoryKey, digest: Digest) {
    this.#ports = ports;
    this.#upstream = upstream;
    this.#repository = repository;
    this.digest = digest;
    this.started = this.#start.promise;
    this.started.catch(() => undefined); // Those who wait for it hear of it; there may be none.
    this.admit(repository);
    this.settled = this.#run();
  }

  /** Nobody may join any more: the blob is in the store or has failed to get there, and the spool file goes. */
  get isOver(): boolean {
    return this.#isOver;
  }

  isFor(repository: RepositoryKey): boolean {
    return this.#holders.has(keyOf(repository));
  }

  /** Upstream has shown that this repository holds the blob too. */
  admit(repository: RepositoryKey): void {
    this.#holders.set(keyOf(repository), repository);
  }

  abort(): void {
    this.#abort.abort(new UpstreamError('unreachable', 'the mirror is shutting down'));
  }

  async #run(): Promise<void> {
    const startedAt = performance.now();
    let outcome: DownloadOutcome;
    let cause: Error | undefined;
    try {
      ({ outcome, cause } = await this.#transfer());
    } catch (error) {
      cause = error as Error;
      this.#start.reject(cause);
      outcome = cause instanceof ContentMismatchError ? 'mismatch' : 'failed';
      if (this.#abort.signal.aborted) outcome = 'aborted';
    }
    this.#ports.observe({
      kind: 'ended',
      outcome,
      repository: this.#repository,
      digest: this.digest,
      bytes: this.#bytesFetched,
      durationMs: performance.now() - startedAt,
      cause,
    });
  }

  async #transfer(): Promise<{ outcome: DownloadOutcome; cause?: Error }> {
    const first = await within(ANSWER_MS, this.#abort.signal, (until) =>
      this.#persist(() => this.#fetch(0, until), undefined, until),
    );
    if (!first) {
      this.#start.resolve(undefined);
      return { outcome: 'absent' };
    }
    const place = await this.#findPlace(first.size);
    if (place instanceof Error) {
      this.#start.resolve({ open: this.#uncached({ size: first.size, first }) });
      return { outcome: 'uncached', cause: place };
    }
    using reservation = place.reservation;
    await using file = place.file;
    this.#start.resolve({ open: () => this.#follow(file) });
    try {
      await this.#fill(file, first, reservation);
      await this.#store(file, reservation);
    } catch (error) {
      file.fail(error as Error);
      throw error;
    } finally {
      this.#isOver = true;
    }
    return { outcome: 'stored' };
  }

  /** Room in the cache and a file in the spool, or why there is neither: that is our problem, not the client's. */
  async #findPlace(size: number | undefined): Promise<{ reservation: Reservation; file: SpoolFile } | Error> {
    let reservation: Reservation | undefined;
    try {
      reservation = await this.#ports.space.reserve(size ?? RESERVE_STEP_BYTES);
      if (!reservation) return new Error('there is no room for it in the cache');
      return { reservation, file: await this.#ports.spool.create(this.digest, size) };
    } catch (error) {
      reservation?.[Symbol.dispose]();
      return error as Error;
    }
  }

  async #fill(file: SpoolFile, first: UpstreamBlob, reservation: Reservation): Promise<void> {
    let next: UpstreamBlob | undefined = first;
    await this.#persist(async () => {
      const blob = next ?? (await this.#fetch(file.bytesWritten));
      next = undefined;
      if (!blob) throw new UpstreamError('protocol', 'upstream no longer has the blob that it was sending');
      await file.append(blob.body, {
        skip: file.bytesWritten - blob.offset,
        signal: this.#abort.signal,
        onBytes: this.#onBytes,
        admit: (bytes) => this.#hasRoom(reservation, bytes),
      });
      if (file.size !== undefined && file.bytesWritten < file.size) {
        throw new UpstreamError(
          'unreachable',
          `the body ended after ${file.bytesWritten} of ${file.size} bytes`,
        );
      }
    }, file);
  }

  async #store(file: SpoolFile, reservation: Reservation): Promise<void> {
    const { blobs, metadata } = this.#ports;
    const verified = await file.verify();
    await blobs.adopt(verified);
    // Those that are admitted while others are being linked are met too.
    for (const repository of this.#holders.values()) {
      await metadata.linkBlob(repository, { digest: this.digest, size: verified.size });
      // It has its row, and counts by that from now on.
      reservation[Symbol.dispose]();
    }
  }

  async #fetch(offset: number, signal = this.#abort.signal): Promise<UpstreamBlob | undefined> {
    const { name } = this.#repository;
    const blob = await this.#upstream.fetchBlob(name, this.digest, offset, signal);
    if (!blob || blob.size !== undefined || offset > 0) return blob;
    // Clients want a Content-Length; where the GET has none, the HEAD may.
    const stat = await this.#upstream.statBlob(name, this.digest, signal).catch(() => undefined);
    return { ...blob, size: stat?.size };
  }

  /** A reader that follows the spool file and, if our disk fails under it, gets the rest from upstream itself. */
  #follow(file: SpoolFile): BlobContent {
    const reader = file.open();
    return {
      size: reader.size,
      close: () => reader.close(),
      sendTo: async (sink, range) => {
        try {
          await reader.sendTo(sink, range);
        } catch (error) {
          if (!(error instanceof SpoolFailedError && error.cause instanceof SpoolWriteError)) throw error;
          const rest = this.#uncached({ size: reader.size, prefix: error.cause.prefix })();
          try {
            await rest.sendTo(sink, { start: error.position, end: range?.end ?? reader.size ?? Infinity });
          } finally {
            await rest.close();
          }
        }
      },
    };
  }

  /** An answer that has come already goes to the first reader. */
  #uncached({ first, ...known }: Pick<PassThroughSource, 'size' | 'first' | 'prefix'>): () => BlobContent {
    let unread = first;
    const fetch = async (signal: AbortSignal) => {
      const blob = await within(ANSWER_MS, signal, (until) => this.#fetch(0, until));
      if (!blob) throw new UpstreamError('protocol', 'upstream no longer has the blob');
      return blob;
    };
    return () => {
      const source = { ...known, digest: this.digest, first: unread, fetch, onBytes: this.#onBytes };
      unread = undefined;
      return new PassThrough(source);
    };
  }

  readonly #onBytes = (bytes: number): void => {
    this.#bytesFetched += bytes;
    this.#ports.observe({ kind: 'fetched', bytes });
  };

  async #hasRoom(reservation: Reservation, bytes: number): Promise<boolean> {
    return reservation.growTo(Math.ceil(bytes / RESERVE_STEP_BYTES) * RESERVE_STEP_BYTES);
  }

  #persist<T>(attempt: () => Promise<T>, file?: SpoolFile, signal = this.#abort.signal): Promise<T> {
    const offset = () => file?.bytesWritten ?? 0;
    return persist(attempt, {
      progress: offset,
      pause: (ms) => this.#ports.pause(ms, signal).catch(() => undefined),
      signal,
      onRetry: (cause) =>
        this.#ports.observe({ kind: 'retried', digest: this.digest, offset: offset(), cause }),
    });
  }
}

function keyOf(repository: RepositoryKey): string {
  return `${repository.upstream}\n${repository.name}`;
}
