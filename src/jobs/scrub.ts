/**
 * Reads every blob again, slowly, and holds it against its digest: what has decayed on the disk is forgotten, and the
 * next pull fetches it again. A walk goes on where it was after a restart.
 */
import { Writable } from 'node:stream';
import { BlobReadError, type BlobContent, type BlobStore } from '../blobs/blob-store.ts';
import type { BlobRecord, MetadataStore, ScrubState, ScrubStates } from '../metadata/metadata-store.ts';
import { DigestHasher, type Digest } from '../oci/digest.ts';
import type { Job } from './job-runner.ts';

/** What opening a file costs the disk, roughly, as a number of bytes: a million small blobs are no small work. */
const OPENING_BYTES = 64 * 1024;
const SAVE_INTERVAL_MS = 5000;

type Fault =
  | { readonly kind: 'missing' }
  | { readonly kind: 'size'; readonly actual: number | undefined }
  | { readonly kind: 'digest'; readonly actual: Digest }
  | { readonly kind: 'unreadable'; readonly cause: BlobReadError };

/** The blob as it should be, and what is wrong with it. */
export type CorruptBlob = BlobRecord & Fault;

export type ScrubProgress = Pick<
  ScrubState,
  'scannedBlobs' | 'scannedBytes' | 'corruptBlobs' | 'lastCompletedAt'
> & { readonly isRunning: boolean };

export interface ScrubOptions {
  readonly metadata: Pick<MetadataStore, 'listBlobs' | 'forgetBlob' | 'recordFound'>;
  readonly states: ScrubStates;
  /** The blobs as they are on the disk, whatever of them is held in memory. */
  readonly files: Pick<BlobStore, 'open'>;
  readonly blobs: Pick<BlobStore, 'stat' | 'delete'>;
  /** From the beginning of one walk to that of the next. */
  readonly intervalMs: number;
  /** Resolves when more may be read. */
  readonly rate: { spend(bytes: number, signal: AbortSignal): Promise<void> };
  readonly now: () => number;
  readonly onCorrupt: (blob: CorruptBlob) => void;
  readonly onCompleted: (progress: ScrubProgress) => void;
}

/** To be run more often than its interval: a run that has nothing to go on with, and none due, does nothing. */
export class Scrub implements Job {
  readonly name = 'scrub';
  readonly #options: ScrubOptions;
  #state: ScrubState | undefined;
  #isRunning = false;
  #isRequested = false;
  #savedAt = -Infinity;

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  /** The next run walks, due or not. A walk that is under way is what was asked for. */
  request(): void {
    if (!this.#isRunning) this.#isRequested = true;
  }

  /** Does not go on by itself with a walk that was ended before its end. */
  async giveUp(): Promise<void> {
    if (!this.#isRunning && this.#state)
      await this.#save({ ...this.#state, isComplete: true, cursor: undefined });
  }

  /** Of the walk that is under way, or else the last one. */
  async progress(): Promise<ScrubProgress> {
    return this.#progressOf(this.#state ?? (await this.#options.states.find()));
  }

  async run(signal: AbortSignal): Promise<void> {
    const state = await this.#begin();
    if (!state) return;
    this.#isRunning = true;
    try {
      await this.#walk(state, signal);
    } finally {
      this.#isRunning = false;
    }
    this.#options.onCompleted(this.#progressOf(this.#state));
  }

  /** What is to be gone on with; undefined where no walk is due. */
  async #begin(): Promise<ScrubState | undefined> {
    const { states, now } = this.#options;
    const last = this.#state ?? (await states.find());
    const isDue = last === undefined || this.#isRequested || this.#isOld(last.beganAt);
    this.#isRequested = false;
    if (last?.isComplete === false) return last;
    if (!isDue) return undefined;
    return {
      beganAt: now(),
      isComplete: false,
      cursor: undefined,
      scannedBlobs: 0,
      scannedBytes: 0,
      corruptBlobs: 0,
      lastCompletedAt: last?.lastCompletedAt,
    };
  }

  /** A clock that was set back makes everything old. */
  #isOld(beganAt: number): boolean {
    const age = this.#options.now() - beganAt;
    return age < 0 || age >= this.#options.intervalMs;
  }

  async #walk(from: ScrubState, signal: AbortSignal): Promise<void> {
    await this.#save(from);
    // Also where it ends too early.
    await using _saved = { [Symbol.asyncDispose]: () => this.#save(this.#state ?? from) };
    for await (const blob of this.#options.metadata.listBlobs(from.cursor)) {
      signal.throwIfAborted();
      await this.#visit(blob, this.#state ?? from, signal);
    }
    const ended = { isComplete: true, cursor: undefined, lastCompletedAt: this.#options.now() };
    this.#state = { ...(this.#state ?? from), ...ended };
  }

  async #visit(blob: BlobRecord, before: ScrubState, signal: AbortSignal): Promise<void> {
    const { rate, onCorrupt, now } = this.#options;
    let scannedBytes = 0;
    let isCorrupt = false;
    try {
      await rate.spend(OPENING_BYTES, signal);
      const fault = await this.#examine(blob, signal, (bytes) => void (scannedBytes += bytes));
      isCorrupt = fault !== undefined && (await this.#forget(blob));
      if (fault && isCorrupt) onCorrupt({ ...blob, ...fault });
    } finally {
      // Behind one that can't be opened too: it keeps no other from being looked at when the job runs again.
      if (!signal.aborted) {
        this.#state = {
          ...before,
          cursor: blob.digest,
          scannedBlobs: before.scannedBlobs + 1,
          scannedBytes: before.scannedBytes + scannedBytes,
          corruptBlobs: before.corruptBlobs + (isCorrupt ? 1 : 0),
        };
      }
    }
    if (now() - this.#savedAt >= SAVE_INTERVAL_MS) await this.#save(this.#state ?? before);
  }

  async #examine(
    { digest, size }: BlobRecord,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ): Promise<Fault | undefined> {
    const content = await this.#options.files.open(digest);
    if (!content) return { kind: 'missing' };
    try {
      if (content.size !== size) return { kind: 'size', actual: content.size };
      const actual = await this.#hash(content, digest, signal, onBytes);
      return actual === digest ? undefined : { kind: 'digest', actual };
    } catch (error) {
      if (error instanceof BlobReadError) return { kind: 'unreadable', cause: error };
      throw error;
    } finally {
      await content.close();
    }
  }

  async #hash(
    content: BlobContent,
    expected: Digest,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ): Promise<Digest> {
    const hasher = new DigestHasher(expected);
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        hasher.update(chunk);
        onBytes(chunk.length);
        this.#options.rate.spend(chunk.length, signal).then(() => done(), stop);
      },
    });
    // Without an error, which nobody listens for: whoever sends to it learns that it has closed.
    const stop = () => void sink.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await content.sendTo(sink);
      return hasher.digest();
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /**
   * Resolves to whether it was known: what is evicted meanwhile is no finding. The file goes before the row. The other
   * way round, a crash in between would leave corrupt bytes under a name that is trusted.
   */
  async #forget({ digest, size }: BlobRecord): Promise<boolean> {
    const { metadata, blobs, now } = this.#options;
    await blobs.delete(digest);
    const wasKnown = await metadata.forgetBlob(digest);
    // A download may have brought it again before its row went just now.
    const again = await blobs.stat(digest);
    if (again?.size === size) await metadata.recordFound([again], now());
    return wasKnown;
  }

  async #save(state: ScrubState): Promise<void> {
    this.#state = state;
    this.#savedAt = this.#options.now();
    await this.#options.states.save(state);
  }

  #progressOf(state: ScrubState | undefined): ScrubProgress {
    const { scannedBlobs = 0, scannedBytes = 0, corruptBlobs = 0, lastCompletedAt } = state ?? {};
    return { isRunning: this.#isRunning, scannedBlobs, scannedBytes, corruptBlobs, lastCompletedAt };
  }
}
