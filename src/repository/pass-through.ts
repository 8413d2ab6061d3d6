/**
 * A blob that goes from upstream straight to one client, because there is no room to keep it: verified on the way,
 * stored nowhere. Where its connection breaks it goes on over another one.
 */
import type { Writable } from 'node:stream';
import type { BlobContent } from '../blobs/blob-store.ts';
import { ContentMismatchError, type Prefix } from '../blobs/spool.ts';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet, SinkClosedError } from '../lib/outlet.ts';
import { DigestHasher } from '../oci/digest.ts';
import { UpstreamError, type UpstreamBlob } from '../upstream/upstream.ts';
import type { BlobSource } from './blob-source.ts';
import { ANSWER_MS, within } from './deadline.ts';
import { FOR_THE_REST } from './persist.ts';

/** An answer of upstream that nobody has read yet, with its place, which both go when `held` is disposed. */
export interface UnreadAnswer {
  readonly blob: UpstreamBlob;
  readonly held: Disposable;
}

export interface PassThroughOptions {
  readonly source: BlobSource;
  readonly size: number | undefined;
  /** Waits for a place among those that may run at once. */
  readonly enter: (signal: AbortSignal) => Promise<Disposable>;
  /** The first transfer's; another asks anew. */
  readonly begun?: UnreadAnswer | undefined;
  /** What the client has already from elsewhere, not verified: the blob must begin with it. */
  readonly prefix?: Prefix | undefined;
}

export class PassThrough implements BlobContent {
  readonly size: number | undefined;
  readonly #options: PassThroughOptions;
  readonly #abort = new AbortController();
  #begun: UnreadAnswer | undefined;

  constructor(options: PassThroughOptions) {
    this.#options = options;
    this.size = options.size;
    this.#begun = options.begun;
  }

  async sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size ?? Infinity }): Promise<void> {
    using outlet = new Outlet(sink);
    // Nobody but this client wants it: it ends with the client, even while upstream is silent.
    const left = new AbortController();
    const leave = () => left.abort(new SinkClosedError());
    sink.once('close', leave);
    if (sink.destroyed) leave();
    const begun = this.#begun;
    this.#begun = undefined;
    const signal = AbortSignal.any([left.signal, this.#abort.signal]);
    try {
      using _held = begun?.held ?? (await within(ANSWER_MS, signal, this.#options.enter));
      await this.#transfer(new Passage(this.#options, outlet, range), begun?.blob, signal);
    } finally {
      sink.off('close', leave);
    }
  }

  async #transfer(passage: Passage, first: UpstreamBlob | undefined, signal: AbortSignal): Promise<void> {
    const { source } = this.#options;
    let next = first;
    const pass = async () => {
      const { position } = passage;
      const blob = next ?? (await within(ANSWER_MS, signal, (until) => source.fetch(position, until)));
      next = undefined;
      if (!blob) throw new UpstreamError('unreachable', 'upstream no longer has the blob');
      const stop = () => blob.body.destroy();
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      try {
        await passage.take(blob);
      } finally {
        signal.removeEventListener('abort', stop);
        stop();
      }
    };
    await source.persist(pass, FOR_THE_REST, signal, () => passage.position);
    await passage.end();
  }

  close(): Promise<void> {
    this.#abort.abort(new SinkClosedError());
    this.#begun?.held[Symbol.dispose]();
    this.#begun = undefined;
    return Promise.resolve();
  }
}

/** One transfer: how far it has come, over however many connections. */
class Passage {
  readonly #options: PassThroughOptions;
  readonly #outlet: Outlet;
  readonly #range: ByteRange;
  readonly #hasher: DigestHasher;
  /** The last byte of the range, which goes out when the whole is known to be right. */
  #last: Uint8Array | undefined;
  #position = 0;

  constructor(options: PassThroughOptions, outlet: Outlet, range: ByteRange) {
    this.#options = options;
    this.#outlet = outlet;
    this.#range = range;
    this.#hasher = new DigestHasher(options.source.digest);
  }

  /** Bytes of the blob that have been looked at. */
  get position(): number {
    return this.#position;
  }

  async take({ body, offset }: UpstreamBlob): Promise<void> {
    const { source, size, prefix } = this.#options;
    const before = this.#position;
    let skip = before - offset;
    for await (const chunk of body) {
      source.countBytes(chunk.length);
      const fresh = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - fresh.length;
      for (const piece of cutAt((prefix?.length ?? 0) - this.#position, fresh)) await this.#send(piece);
      if (size !== undefined && this.#position > size) return;
    }
    const isLonger = this.#position > before || before === 0;
    const isCut = size === undefined ? isLonger && !this.#isWhole() : this.#position < size;
    if (!isCut) return;
    const text = `the body ended after ${this.#position} of ${size ?? 'an unknown number of'} bytes`;
    throw new UpstreamError('unreachable', text);
  }

  /** @throws ContentMismatchError where the whole is not what it should be; then the last byte was not sent */
  async end(): Promise<void> {
    const { source, size } = this.#options;
    const actual = this.#hasher.digest();
    if (actual !== source.digest || this.#position !== (size ?? this.#position)) {
      const expected = size === undefined ? source.digest : `${size} with ${source.digest}`;
      throw new ContentMismatchError(
        `the ${this.#position} bytes have the digest ${actual} instead of ${expected}`,
      );
    }
    if (this.#last) await this.#outlet.write(this.#last);
  }

  /** A body without a length ends like one that is cut: only the digest tells them apart. */
  #isWhole(): boolean {
    return this.#hasher.digestSoFar() === this.#options.source.digest;
  }

  async #send(piece: Uint8Array): Promise<void> {
    const { prefix } = this.#options;
    this.#hasher.update(piece);
    const { start, end } = this.#range;
    const wanted = piece.subarray(clamp(start - this.#position, piece), clamp(end - this.#position, piece));
    this.#position += piece.length;
    if (this.#position === prefix?.length && this.#hasher.digestSoFar() !== prefix.digest) {
      throw new ContentMismatchError(`the first ${prefix.length} bytes are not those that were sent before`);
    }
    if (wanted.length === 0) return;
    if (this.#last) await this.#outlet.write(this.#last);
    this.#last = Uint8Array.from(wanted.subarray(-1));
    if (wanted.length > 1) await this.#outlet.write(wanted.subarray(0, -1));
  }
}

/** The pieces before and after that many bytes: the first is looked at before any of the second is sent. */
function cutAt(bytes: number, chunk: Uint8Array): readonly Uint8Array[] {
  if (bytes <= 0 || bytes >= chunk.length) return chunk.length === 0 ? [] : [chunk];
  return [chunk.subarray(0, bytes), chunk.subarray(bytes)];
}

function clamp(offset: number, chunk: Uint8Array): number {
  return Math.min(Math.max(offset, 0), chunk.length);
}
