/** What HTTP sees of a repository, wherever its content comes from. Methods throw RegistryError, or break. */
import type { BlobContent } from '../blobs/blob-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ReferrerDescriptor } from '../oci/manifest.ts';
import type { Reference } from '../oci/reference.ts';

/**
 * How a request was served. It is data, counted and logged at the edge:
 * - `hit`: from the cache, nothing asked of upstream
 * - `miss`: fetched from upstream for this request
 * - `joined`: by a fetch that another request had started
 * - `revalidated`: from the cache, after upstream said that the tag points there, or that this repository holds it too
 * - `stale`: from the cache, although upstream could not be asked
 */
export type Source = 'hit' | 'miss' | 'joined' | 'revalidated' | 'stale';

/** How long, and while what stands, an answer may be given again without asking the repository. Plain data. */
export interface Validity {
  /** It holds from then on and until then, in milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
  /** What it rests on: a digest, or a `tagKey`. It no longer holds when one of them is dropped. */
  readonly keys: readonly string[];
  /** Whose use is to be noted each time that it is given. */
  readonly touches?: Digest;
}

/** `staleBecause` says why, where the source is `stale`. */
export type Served<T> = T & {
  readonly source: Source;
  readonly staleBecause?: Error;
  /** There where the answer may be given again. */
  readonly validity?: Validity | undefined;
};

/** On whose behalf something is asked for. */
export interface Requester {
  /** What its downloads queue under, so that all take their turns: a client's address. */
  readonly client: string;
  /** Aborted when it has gone. */
  readonly left: AbortSignal;
}

export interface Repository {
  /** Where a reference points; it fetches no manifest, so a HEAD costs no pull of upstream's quota. */
  resolve(reference: Reference): Promise<Served<{ readonly descriptor: Descriptor }>>;
  manifest(reference: Reference): Promise<Served<Manifest>>;
  /** The size of a blob, without a download. */
  statBlob(digest: Digest): Promise<Served<{ readonly size: number | undefined }>>;
  /** The caller closes `content`. Rejects with the reason of `left` when the requester leaves before it is found. */
  blob(digest: Digest, requester: Requester): Promise<Served<{ readonly content: BlobContent }>>;
  /** Sorted lexically. */
  tags(): Promise<Served<{ readonly tags: readonly string[] }>>;
  referrers(digest: Digest): Promise<Served<{ readonly referrers: readonly ReferrerDescriptor[] }>>;
}
