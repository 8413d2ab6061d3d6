/** Reads a body into memory, never more of it than allowed, whatever its Content-Length says. */
import type { ByteSource } from '../lib/byte-source.ts';

export interface BoundedRead {
  /** The body, or its beginning. */
  readonly bytes: Buffer;
  /** False where the body is longer; the rest is not read, and its connection is given up. */
  readonly isComplete: boolean;
}

/** Fails as the body does. */
export async function readBounded(body: ByteSource, maxBytes: number): Promise<BoundedRead> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(Buffer.from(chunk));
    length += chunk.length;
    // Leaving the loop destroys the body.
    if (length > maxBytes) return { bytes: Buffer.concat(chunks, maxBytes), isComplete: false };
  }
  return { bytes: Buffer.concat(chunks, length), isComplete: true };
}
