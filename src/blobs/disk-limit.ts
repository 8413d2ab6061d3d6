/** How many bytes the cache may have on its file system, at this moment. */
import { statfs } from 'node:fs/promises';

export type Bound =
  | { readonly kind: 'bytes'; readonly bytes: number }
  /** A share (0 to 1) of the file system. */
  | { readonly kind: 'share'; readonly share: number };

/** Left free whatever the bound says: a file system that is full to the last block fails everybody who writes to it. */
const HEADROOM_SHARE = 0.02;
const MAX_HEADROOM_BYTES = 1024 ** 3;

/** The bound as it is set, in bytes. */
export async function boundInBytes(directory: string, bound: Bound): Promise<number> {
  if (bound.kind === 'bytes') return bound.bytes;
  const { blocks, bsize } = await statfs(directory);
  return Math.floor(blocks * bsize * bound.share);
}

/** What the file system has left for those who are not root. */
export async function freeBytes(directory: string): Promise<number> {
  return (await diskOf(directory)).freeBytes;
}

/** The file system, as those see it who are not root. */
export async function diskOf(
  directory: string,
): Promise<{ readonly freeBytes: number; readonly sizeBytes: number }> {
  const { blocks, bavail, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
}

/** The bound, or less where others fill the disk. @param ownBytes what the cache has on the disk now */
export async function diskLimit(directory: string, bound: Bound, ownBytes: number): Promise<number> {
  const { blocks, bavail, bsize } = await statfs(directory);
  const headroom = Math.min(blocks * bsize * HEADROOM_SHARE, MAX_HEADROOM_BYTES);
  const reachable = Math.max(0, ownBytes + bavail * bsize - headroom);
  return Math.min(await boundInBytes(directory, bound), reachable);
}
