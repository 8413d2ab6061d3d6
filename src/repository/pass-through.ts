/**
 * A blob that goes from upstream straight to one client, because there is no room to keep it: verified on the way,
 * stored nowhere.
 */
import type { Writable } from 'node:stream';
import type { BlobContent } from '../blobs/blob-store.ts';
import { ContentMismatchError, type Prefix } from '../blobs/spool.ts';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet } from '../lib/outlet.ts';
import { DigestHasher, type Digest } from '../oci/digest.ts';
import type { UpstreamBlob } from '../upstream/upstream.ts';

export interface PassThroughSource {
  readonly digest: Digest;
  readonly size: number | undefined;
  /** The whole blob, from its first byte on. */
  readonly fetch: (signal: AbortSignal) => Promise<UpstreamBlob>;
  readonly onBytes: (count: number) => void;
  /** An answer of upstream that nobody has read yet. */
  readonly first?: UpstreamBlob | undefined;
  /** What the client has already from elsewhere, not verified: the blob must begin with it. */
  readonly prefix?: Prefix | undefined;
}

export class PassThrough implements BlobContent {
  readonly size: number | undefined;
  readonly #source: PassThroughSource;
  readonly #abort = new AbortController();
  #first: UpstreamBlob | undefined;

  constructor(source: PassThroughSource) {
    this.#source = source;
    this.size = source.size;
    this.#first = source.first;
  }

  async sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size ?? Infinity }): Promise<void> {
    using outlet = new Outlet(sink);
    const blob = this.#first ?? (await this.#source.fetch(this.#abort.signal));
    this.#first = undefined;
    // Nobody but this client wants it: it ends with the client, even while upstream is silent.
    const leave = () => blob.body.destroy();
    sink.once('close', leave);
    if (sink.destroyed) leave();
    try {
      await this.#pass(blob, outlet, range);
    } finally {
      sink.off('close', leave);
      blob.body.destroy();
    }
  }

  async #pass({ body }: UpstreamBlob, outlet: Outlet, range: ByteRange): Promise<void> {
    const { digest, onBytes, prefix } = this.#source;
    const hasher = new DigestHasher(digest);
    /** The last byte of the range, which goes out when the whole is known to be right. */
    let last: Uint8Array | undefined;
    let position = 0;
    for await (const chunk of piecesOf(body as AsyncIterable<Uint8Array>, prefix?.length ?? 0)) {
      onBytes(chunk.length);
      hasher.update(chunk);
      const wanted = chunk.subarray(clamp(range.start - position, chunk), clamp(range.end - position, chunk));
      position += chunk.length;
      if (position === prefix?.length && hasher.digestSoFar() !== prefix.digest) {
        throw new ContentMismatchError(`the first ${position} bytes are not those that were sent before`);
      }
      if (wanted.length === 0) continue;
      if (last) await outlet.write(last);
      last = wanted.slice(-1);
      if (wanted.length > 1) await outlet.write(wanted.subarray(0, -1));
    }
    const actual = hasher.digest();
    if (actual !== digest || position !== (this.size ?? position)) {
      const expected = this.size === undefined ? digest : `${this.size} with ${digest}`;
      throw new ContentMismatchError(
        `the ${position} bytes have the digest ${actual} instead of ${expected}`,
      );
    }
    if (last) await outlet.write(last);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const body = this.#first?.body;
    this.#first = undefined;
    if (!body || body.closed) return;
    const closed = new Promise((resolve) => body.once('close', resolve));
    body.on('error', () => undefined); // It is cut off on purpose.
    body.destroy();
    await closed;
  }
}

/** The chunks, with one boundary at `cut`: the bytes before it are looked at before any after it are sent. */
async function* piecesOf(body: AsyncIterable<Uint8Array>, cut: number): AsyncIterable<Uint8Array> {
  let position = 0;
  for await (const chunk of body) {
    const before = cut - position;
    position += chunk.length;
    if (before > 0 && before < chunk.length) {
      yield chunk.subarray(0, before);
      yield chunk.subarray(before);
    } else {
      yield chunk;
    }
  }
}

function clamp(offset: number, chunk: Uint8Array): number {
  return Math.min(Math.max(offset, 0), chunk.length);
}
