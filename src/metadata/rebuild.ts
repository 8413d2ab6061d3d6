/** Writes the rows of an index that was lost again, from its records and from the blobs that are there. */
import { linksOf } from '../oci/manifest.ts';
import { recordFiles, type BlobFiles } from './blob-files.ts';
import type { MetadataStore } from './metadata-store.ts';
import type { BrokenRecord } from './record-directory.ts';
import type { IndexRecord } from './record.ts';

const PROGRESS_EVERY = 10_000;

export interface RebuildTarget {
  /** The index without its records: they would be written again otherwise. */
  readonly bare: MetadataStore;
  rebuilt(): void;
}

export interface RebuildCounts {
  readonly blobs: number;
  readonly manifests: number;
  readonly tags: number;
  readonly pins: number;
  /** From repositories to blobs that are there. */
  readonly links: number;
  /** Records that were passed over, broken or of a blob that is gone. */
  readonly skipped: number;
}

/**
 * To be run before anything else uses the index. What it writes counts as used now; tags count as never checked,
 * for upstream may have moved them since. It may be cut short at any point and run again.
 */
export async function rebuildIndex(
  target: RebuildTarget,
  records: { list(): AsyncIterable<IndexRecord | BrokenRecord> },
  blobs: BlobFiles,
  onProgress: (counts: RebuildCounts) => void = () => undefined,
  clock: () => number = Date.now,
): Promise<RebuildCounts> {
  const counts = { blobs: 0, manifests: 0, tags: 0, pins: 0, links: 0, skipped: 0 };
  counts.blobs = await recordFiles(target.bare, blobs, clock(), (seen) => {
    if (seen % PROGRESS_EVERY === 0) onProgress({ ...counts, blobs: seen });
  });
  onProgress({ ...counts });
  let seen = 0;
  for await (const record of records.list()) {
    counts[await restore(target.bare, record, blobs)] += 1;
    seen += 1;
    if (seen % PROGRESS_EVERY === 0) onProgress({ ...counts });
  }
  target.rebuilt();
  return counts;
}

async function restore(
  store: MetadataStore,
  record: IndexRecord | BrokenRecord,
  blobs: BlobFiles,
): Promise<'manifests' | 'tags' | 'pins' | 'links' | 'skipped'> {
  switch (record.kind) {
    case 'manifest':
      await store.saveManifest(record.repository, record.manifest, linksOf(record.manifest));
      return 'manifests';
    case 'tag':
      await store.saveTag(record.repository, { ...record, checkedAt: 0 });
      return 'tags';
    case 'pin':
      await store.pin(record.repository, record.reference);
      return 'pins';
    case 'blob': {
      const file = await blobs.stat(record.blob.digest);
      // A file of another size than was once verified is no blob; upstream will show what it should be.
      if (file?.size !== record.blob.size) return 'skipped';
      await store.linkBlob(record.repository, file);
      return 'links';
    }
    case 'broken':
      return 'skipped';
  }
}
