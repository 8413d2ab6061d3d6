/** The port to the index for whoever looks at what is cached, a page at a time. No pull needs it. */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts';
import type { RepositoryKey } from './metadata-store.ts';

export interface RepositorySummary {
  readonly name: RepositoryName;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Bytes of the manifests and blobs that it holds, and of those that another repository holds as well. */
  readonly bytes: number;
  readonly sharedBytes: number;
  /** Of the content that it holds, what was used last; milliseconds since the epoch. */
  readonly usedAt: number | undefined;
}

export interface TagSummary {
  readonly tag: Tag;
  readonly descriptor: Descriptor;
  readonly checkedAt: number;
  /** Of its manifest, where the repository holds it. */
  readonly usedAt: number | undefined;
  /** Bytes of all that it reaches, as far as that is held by anybody. */
  readonly bytes: number;
}

export interface ManifestSummary {
  readonly descriptor: Descriptor;
  /** Of this repository, in lexical order. */
  readonly tags: readonly Tag[];
  readonly usedAt: number;
}

export interface ContentSummary {
  readonly digest: Digest;
  /** The repository that was asked about holds it. */
  readonly isHeld: boolean;
  readonly usedAt: number | undefined;
  /** How many repositories hold it. */
  readonly repositories: number;
}

/** A reference that is never evicted. */
export interface Pin {
  readonly repository: RepositoryKey;
  readonly reference: Reference;
}

export interface PinSummary extends Pin {
  /** Bytes of what it reaches and is held, and whether the manifest itself is. */
  readonly bytes: number;
  readonly isHeld: boolean;
}

/** `after` is exclusive everywhere. Methods give others a turn where they take long. */
export interface CatalogStore {
  /** In lexical order: those that hold something or have a tag. @param search a part of the name, in any case of letters */
  listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
    search?: string,
  ): Promise<readonly RepositorySummary[]>;
  /** In lexical order. */
  listTags(repository: RepositoryKey, after: Tag | undefined, limit: number): Promise<readonly TagSummary[]>;
  /** In order of their digests. */
  listManifests(
    repository: RepositoryKey,
    after: Digest | undefined,
    limit: number,
  ): Promise<readonly ManifestSummary[]>;
  /** In the order asked for; of blobs and of manifests. */
  describe(repository: RepositoryKey, digests: readonly Digest[]): Promise<readonly ContentSummary[]>;
  /** In order of upstream, repository and reference. */
  listPins(after: Pin | undefined, limit: number): Promise<readonly PinSummary[]>;
}

/** What was asked and served in one span of time. */
export interface TrafficCounts {
  readonly requests: number;
  readonly hits: number;
  readonly servedBytes: number;
  readonly hitBytes: number;
  readonly fetchedBytes: number;
}

export interface TrafficSpan extends TrafficCounts {
  /** Milliseconds since the epoch. */
  readonly beganAt: number;
}

/** Keeps what was counted across restarts. */
export interface TrafficHistory {
  /** Adds to what is kept of the span that began then, and to the totals. */
  add(beganAt: number, counts: TrafficCounts): Promise<void>;
  /** In order of time. */
  list(from: number): Promise<readonly TrafficSpan[]>;
  /** Of all time; `beganAt` is that of the first span that was ever added. */
  totals(): Promise<TrafficSpan | undefined>;
  /** The totals keep what they have. */
  forget(before: number): Promise<void>;
}
