/**
 * The port to everything that is known about content: which repository holds which manifest and blob, what tags
 * point to, sizes and last use. Each method is one whole transaction, but those that take or name many things: they
 * give others a turn in between. `undefined` and `false` mean "not known"; a throw means that the store is broken.
 * Times are milliseconds since the epoch.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts';

/** A repository is known by its name and by the upstream that it comes from: the same name elsewhere is another. */
export interface RepositoryKey {
  readonly upstream: string;
  readonly name: RepositoryName;
}

/** One tag, as whoever keeps what rests on it names it. Names and tags hold no space; an upstream may. */
export function tagKey({ upstream, name }: RepositoryKey, tag: Tag): string {
  return `${name} ${tag} ${upstream}`;
}

export interface TagRecord {
  readonly tag: Tag;
  readonly descriptor: Descriptor;
  /** When upstream last said that the tag points there. */
  readonly checkedAt: number;
}

export interface BlobRecord {
  readonly digest: Digest;
  readonly size: number;
}

export interface Totals {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly manifests: number;
  readonly manifestBytes: number;
}

export interface EvictionCandidate extends BlobRecord {
  readonly kind: 'blob' | 'manifest';
  readonly usedAt: number;
}

/** What one eviction took out of the index. Its manifest bytes are freed; the blob's file is the caller's to delete. */
export interface Evicted {
  readonly manifests: readonly Digest[];
  readonly manifestBytes: number;
}

/** What goes of a repository when whoever runs the mirror wants a reference, or all of it, gone. */
export interface Purged {
  readonly tags: readonly Tag[];
  /** That no repository holds any more. */
  readonly manifests: readonly Digest[];
  readonly manifestBytes: number;
  /** That no repository holds any more; rows and files are still there, for whoever may evict them. */
  readonly unheld: readonly BlobRecord[];
  /** Manifests and blobs that this repository holds no more, whoever else does. */
  readonly released: readonly Digest[];
}

export interface MetadataStore {
  findTag(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined>;
  saveTag(repository: RepositoryKey, record: TagRecord): Promise<void>;
  forgetTag(repository: RepositoryKey, tag: Tag): Promise<boolean>;
  /** Every tag that is known, in lexical order of its bytes. */
  listTags(repository: RepositoryKey): Promise<readonly Tag[]>;

  /** The manifest, if upstream has shown this repository to hold it. */
  findManifest(repository: RepositoryKey, digest: Digest): Promise<Manifest | undefined>;
  /** Its descriptor if any repository holds it: no proof that the one at hand does. */
  findManifestAnywhere(digest: Digest): Promise<Descriptor | undefined>;
  /** Content and its place in the repository; known content is not written again, only linked. */
  saveManifest(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks): Promise<void>;
  /** For content that `findManifestAnywhere` knows; does nothing for other. */
  linkManifest(repository: RepositoryKey, digest: Digest): Promise<void>;
  /** Upstream no longer has it there: the link goes, with the repository's tags that point to it. */
  unlinkManifest(repository: RepositoryKey, digest: Digest): Promise<void>;
  /** Manifests that this repository holds and whose `subject` is that digest, in order of their digests. */
  listReferrers(repository: RepositoryKey, subject: Digest): Promise<readonly Manifest[]>;

  /** The blob, if upstream has shown this repository to hold it. */
  findBlob(repository: RepositoryKey, digest: Digest): Promise<BlobRecord | undefined>;
  /** Records the blob, if it is new, and that the repository holds it. */
  linkBlob(repository: RepositoryKey, blob: BlobRecord): Promise<void>;
  /** Its bytes are gone: the row and every link go; manifests stay, for the blob can be fetched again. */
  forgetBlob(digest: Digest): Promise<boolean>;
  /** The row of a blob goes if no repository holds it; false where one does, or where there is none. */
  forgetUnheld(digest: Digest): Promise<boolean>;

  /** Names in lexical order, `after` exclusive: repositories of which a manifest or a blob is held. */
  listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly RepositoryName[]>;

  /**
   * Notes that these manifests and blobs were used. A manifest stands for all that it reaches and is held:
   * an image that is only ever revalidated stays whole. Unknown digests are passed over.
   */
  recordAccess(digests: Iterable<Digest>, at: number): Promise<void>;
  /** The least recently used first; `skip` leaves out as many of them. */
  leastRecentlyUsed(limit: number, skip?: number): Promise<readonly EvictionCandidate[]>;
  /**
   * Takes out a blob behind the manifests that need it, or a manifest; with each manifest go the tags that point to
   * it and the indexes that have no other manifest left here. Not in one transaction: others get their turn, and
   * where it fails some of that may have gone.
   */
  evict(candidate: Pick<EvictionCandidate, 'kind' | 'digest'>): Promise<Evicted>;
  totals(): Promise<Totals>;

  /**
   * For whoever wants a tag, a manifest with the tags that point to it, or all of a repository gone. With a manifest goes
   * what this repository has no other use for: children of an index, referrers, links to blobs; not what another tag,
   * index or manifest of it needs. `undefined` where it is not known. Not in one transaction, as for `evict`.
   */
  purge(repository: RepositoryKey, target: Reference | 'all'): Promise<Purged | undefined>;
  /** Resolves to whether that is new. Nothing of it needs to be here. */
  pin(repository: RepositoryKey, reference: Reference): Promise<boolean>;
  /** Resolves to whether it was pinned. */
  unpin(repository: RepositoryKey, reference: Reference): Promise<boolean>;
  /** All that pinned references reach, held or not, and the bytes of it that are; a tag reaches what it points to now. */
  pinnedContent(): Promise<ReadonlyMap<Digest, number>>;

  /** Records blobs that were found on disk, held by no repository yet; known ones stay as they are. */
  recordFound(blobs: Iterable<BlobRecord>, at: number): Promise<void>;
  /** All blobs, or those that come after one, in order of a key of the store's own: for a walk through them. */
  listBlobs(after?: Digest): AsyncIterable<BlobRecord>;
  close(): Promise<void>;
}

/** How far a walk through all blobs has come that reads their bytes again; what it goes on from after a restart. */
export interface ScrubState {
  readonly beganAt: number;
  readonly isComplete: boolean;
  /** The last blob that was looked at; undefined before the first. */
  readonly cursor: Digest | undefined;
  readonly scannedBlobs: number;
  readonly scannedBytes: number;
  readonly corruptBlobs: number;
  /** When the last walk that came to its end did so. */
  readonly lastCompletedAt: number | undefined;
}

/** Keeps the one state that there is. */
export interface ScrubStates {
  find(): Promise<ScrubState | undefined>;
  save(state: ScrubState): Promise<void>;
}

/** What a pull needs of it; the rest is for keeping the cache within its bound. */
export type PullMetadata = Omit<
  MetadataStore,
  | 'recordAccess'
  | 'leastRecentlyUsed'
  | 'evict'
  | 'totals'
  | 'forgetUnheld'
  | 'purge'
  | 'pin'
  | 'unpin'
  | 'pinnedContent'
  | 'recordFound'
  | 'listBlobs'
  | 'close'
>;
