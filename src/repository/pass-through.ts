/**
 * A blob that goes from upstream straight to one client, because there is no room to keep it: verified on the way,
 * stored nowhere.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { BlobContent } from '../blobs/blob-store.ts';
import { ContentMismatchError } from '../blobs/spool.ts';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet } from '../lib/outlet.ts';
import { DigestHasher, type Digest } from '../oci/digest.ts';
import type { UpstreamBlob } from '../upstream/upstream.ts';

export interface PassThroughUpstream {
  /** The whole blob, from its first byte on. */
  readonly fetch: (signal: AbortSignal) => Promise<UpstreamBlob>;
  readonly onBytes: (count: number) => void;
}

export class PassThrough implements BlobContent {
  readonly size: number | undefined;
  readonly #digest: Digest;
  readonly #upstream: PassThroughUpstream;
  readonly #abort = new AbortController();
  /** An answer of upstream that nobody has read yet. */
  #first: UpstreamBlob | undefined;

  constructor(
    digest: Digest,
    size: number | undefined,
    upstream: PassThroughUpstream,
    first: UpstreamBlob | undefined,
  ) {
    this.#digest = digest;
    this.size = size;
    this.#upstream = upstream;
    this.#first = first;
  }

  async sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size ?? Infinity }): Promise<void> {
    using outlet = new Outlet(sink);
    const blob = this.#first ?? (await this.#upstream.fetch(this.#abort.signal));
    this.#first = undefined;
    const hasher = new DigestHasher(this.#digest);
    /** The last byte of the range, which goes out when the whole is known to be right. */
    let last: Uint8Array | undefined;
    let position = 0;
    try {
      for await (const chunk of blob.body as AsyncIterable<Uint8Array>) {
        this.#upstream.onBytes(chunk.length);
        hasher.update(chunk);
        const wanted = chunk.subarray(
          clamp(range.start - position, chunk),
          clamp(range.end - position, chunk),
        );
        position += chunk.length;
        if (wanted.length === 0) continue;
        if (last) await outlet.write(last);
        last = wanted.slice(-1);
        if (wanted.length > 1) await outlet.write(wanted.subarray(0, -1));
      }
    } finally {
      blob.body.destroy();
    }
    const actual = hasher.digest();
    if (actual !== this.#digest) {
      throw new ContentMismatchError(
        `the ${position} bytes have the digest ${actual} instead of ${this.#digest}`,
      );
    }
    if (last) await outlet.write(last);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const body = this.#first?.body;
    this.#first = undefined;
    if (!body || body.closed) return;
    body.on('error', () => undefined); // It is cut off on purpose.
    body.destroy();
    await once(body, 'close');
  }
}

function clamp(offset: number, chunk: Uint8Array): number {
  return Math.min(Math.max(offset, 0), chunk.length);
}
