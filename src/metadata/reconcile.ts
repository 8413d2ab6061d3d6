/** Makes the rows of blobs agree with their files again after a process ended without closing the index. */
import { recordFiles, type BlobFiles } from './blob-files.ts';
import type { MetadataStore } from './metadata-store.ts';

export interface ReconcileCounts {
  /** Files that had no row: their download had ended, and the process before its row was written. */
  readonly recorded: number;
  /** Rows without a file, or with a file of another size. */
  readonly forgotten: number;
}

/**
 * Files first, rows second: a row made for a file that goes meanwhile is then seen again. What it records counts
 * as used now.
 */
export async function reconcileIndex(
  store: MetadataStore,
  blobs: BlobFiles,
  clock: () => number = Date.now,
): Promise<ReconcileCounts> {
  const before = await store.totals();
  await recordFiles(store, blobs, clock());
  const recorded = (await store.totals()).blobs - before.blobs;
  let forgotten = 0;
  for await (const { digest, size } of store.listBlobs()) {
    const file = await blobs.stat(digest);
    if (file?.size === size) continue;
    if (await store.forgetBlob(digest)) forgotten += 1;
    if (file !== undefined) await store.recordFound([file], clock());
  }
  return { recorded, forgotten };
}
