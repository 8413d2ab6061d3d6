/** Makes the rows of blobs agree with their files again after a process ended without closing the index. */
import type { Digest } from '../oci/digest.ts';
import { recordFiles, type BlobFiles } from './blob-files.ts';
import type { MetadataStore } from './metadata-store.ts';

export interface ReconcileCounts {
  /** Files that had no row: their download had ended, and the process before its row was written. */
  readonly recorded: number;
  /** Rows without a file, or with one of another size, which is deleted: a file system that failed, or a hand. */
  readonly forgotten: number;
}

/**
 * May run while others use the index; the counts are then about right. Files first, rows second: a row made for a
 * file that goes meanwhile is then seen again. What it records counts as used now. Throws the signal's reason once
 * that is aborted: what it did by then holds.
 */
export async function reconcileIndex(
  store: MetadataStore,
  blobs: BlobFiles & { delete(digest: Digest): Promise<boolean> },
  clock: () => number = Date.now,
  signal?: AbortSignal,
): Promise<ReconcileCounts> {
  const before = await store.totals();
  await recordFiles(store, blobs, clock(), () => signal?.throwIfAborted());
  const recorded = Math.max(0, (await store.totals()).blobs - before.blobs);
  let forgotten = 0;
  for await (const { digest, size } of store.listBlobs()) {
    signal?.throwIfAborted();
    const file = await blobs.stat(digest);
    if (file?.size === size) continue;
    if (await store.forgetBlob(digest)) forgotten += 1;
    // Asked again: a download may have brought it after the first look, and its row went just now. A file of another
    // size than was once verified is no blob.
    const kept = await blobs.stat(digest);
    if (kept?.size === size) await store.recordFound([kept], clock());
    else if (kept !== undefined) await blobs.delete(digest);
  }
  return { recorded, forgotten };
}
