/** The blobs that are really there, as rebuilding and reconciling the index see them. */
import type { Digest } from '../oci/digest.ts';
import type { BlobRecord, MetadataStore } from './metadata-store.ts';

const BATCH = 1000;

/** The part of a BlobStore that is needed for it. */
export interface BlobFiles {
  stat(digest: Digest): Promise<BlobRecord | undefined>;
  list(): AsyncIterable<BlobRecord>;
}

/**
 * Gives a row to each of them that has none; resolves to how many there are.
 * @param onBatch told how many it has seen so far; what it throws ends the work
 */
export async function recordFiles(
  store: MetadataStore,
  blobs: BlobFiles,
  now: number,
  onBatch: (seen: number) => void,
): Promise<number> {
  let count = 0;
  let batch: BlobRecord[] = [];
  for await (const blob of blobs.list()) {
    count += 1;
    batch.push(blob);
    if (batch.length < BATCH) continue;
    await store.recordFound(batch, now);
    batch = [];
    onBatch(count);
  }
  await store.recordFound(batch, now);
  return count;
}
