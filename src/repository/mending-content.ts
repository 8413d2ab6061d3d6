/**
 * The content of a blob that goes on from somewhere else where our own disk fails it in the middle: its bytes are those
 * of the digest wherever they come from.
 */
import type { Writable } from 'node:stream';
import { BlobReadError, type BlobContent } from '../blobs/blob-store.ts';
import type { ByteRange } from '../lib/byte-range.ts';

export class MendingContent implements BlobContent {
  readonly size: number | undefined;
  readonly #content: BlobContent;
  readonly #replace: (cause: Error) => Promise<BlobContent>;

  /** @param replace finds the same blob elsewhere, to be closed here */
  constructor(content: BlobContent, replace: (cause: Error) => Promise<BlobContent>) {
    this.size = content.size;
    this.#content = content;
    this.#replace = replace;
  }

  async sendTo(sink: Writable, range?: ByteRange): Promise<void> {
    try {
      await this.#content.sendTo(sink, range);
    } catch (error) {
      if (!(error instanceof BlobReadError)) throw error;
      const other = await this.#replace(error);
      try {
        // Where upstream does not say how large it is, its digest does.
        if (other.size !== undefined && other.size !== this.size) throw error;
        await other.sendTo(sink, { start: error.position, end: range?.end ?? this.size ?? Infinity });
      } finally {
        await other.close();
      }
    }
  }

  async close(): Promise<void> {
    await this.#content.close();
  }
}
