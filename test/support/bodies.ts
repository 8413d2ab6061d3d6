/** What comes in pieces: reading it, and giving it as connections do. */
import type { ByteSource } from '../../src/lib/byte-source.ts';

/** All of it. Node's own consumers keep the pieces, whose memory is used again. */
export async function bytesOf(source: ByteSource): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/** Each piece in the memory of the one before. */
export function inOnePlace(pieces: readonly Uint8Array[]): ByteSource & { readonly destroyed: boolean } {
  const place = Buffer.alloc(Math.max(0, ...pieces.map(({ length }) => length)));
  let destroyed = false;
  const source = {
    get destroyed() {
      return destroyed;
    },
    destroy: () => (destroyed = true),
    async *[Symbol.asyncIterator]() {
      try {
        for (const piece of pieces) {
          await Promise.resolve();
          if (destroyed) throw new Error('destroyed');
          place.fill(0).set(piece);
          yield place.subarray(0, piece.length);
        }
      } finally {
        destroyed = true;
      }
    },
  };
  return source;
}
