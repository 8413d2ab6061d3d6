/** The words that the index and its records share: what one small fact of the index is, and who keeps a copy of it. */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest } from '../oci/manifest.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { BlobRecord, RepositoryKey } from './metadata-store.ts';

/** Which fact: that a repository holds a manifest or a blob, where one of its tags points, or what of it is pinned. */
export type RecordAddress =
  | { readonly kind: 'manifest' | 'blob'; readonly repository: RepositoryKey; readonly digest: Digest }
  | { readonly kind: 'tag'; readonly repository: RepositoryKey; readonly tag: Tag }
  | PinAddress;

export interface PinAddress {
  readonly kind: 'pin';
  readonly repository: RepositoryKey;
  readonly reference: Reference;
}

/** The fact with all that is needed to write its row again. */
export type IndexRecord =
  | { readonly kind: 'manifest'; readonly repository: RepositoryKey; readonly manifest: Manifest }
  | { readonly kind: 'blob'; readonly repository: RepositoryKey; readonly blob: BlobRecord }
  | {
      readonly kind: 'tag';
      readonly repository: RepositoryKey;
      readonly tag: Tag;
      readonly descriptor: Descriptor;
    }
  | PinAddress;

/**
 * Keeps a copy of each fact beside its row, so that the rows can be lost. There is never a row without its record,
 * except where a record could not be written: that is reported elsewhere and fails nobody.
 */
export interface RecordKeeper {
  /** Writes the record, then calls `commit` to write the row; rejects with what `commit` throws. */
  add(record: IndexRecord, commit: () => void): Promise<void>;
  /** Removes the record of a row that is gone, unless `isHeld` tells that it has come back meanwhile. */
  remove(address: RecordAddress, isHeld: () => boolean): Promise<void>;
}

/** For an index whose rows may be lost, and for writing rows that come from the records. */
export const noRecords: RecordKeeper = {
  add: (_record, commit) =>
    new Promise((resolve) => {
      commit();
      resolve();
    }),
  remove: () => Promise.resolve(),
};

export function addressOf(record: IndexRecord): RecordAddress {
  const { kind, repository } = record;
  switch (kind) {
    case 'manifest':
      return { kind, repository, digest: record.manifest.descriptor.digest };
    case 'blob':
      return { kind, repository, digest: record.blob.digest };
    case 'tag':
      return { kind, repository, tag: record.tag };
    case 'pin':
      return record;
  }
}
