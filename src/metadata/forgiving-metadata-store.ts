/**
 * The index as pulls use it: one that can't be read knows nothing, and one that can't be written forgets. So a pull
 * goes on to upstream, where a broken index would have failed it. What keeps the cache within its bound has to know
 * better, and uses the store itself.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { RepositoryName, Tag } from '../oci/reference.ts';
import type { BlobRecord, PullMetadata, RepositoryKey, TagRecord } from './metadata-store.ts';

export interface ForgivingMetadataStoreOptions {
  /** Told of each call that failed, and of which the caller hears nothing. */
  readonly onError: (operation: keyof PullMetadata, error: Error) => void;
  /** The index has taken something again. Reads don't tell: they may come from memory. */
  readonly onSaved: () => void;
}

export class ForgivingMetadataStore implements PullMetadata {
  readonly #store: PullMetadata;
  readonly #options: ForgivingMetadataStoreOptions;

  constructor(store: PullMetadata, options: ForgivingMetadataStoreOptions) {
    this.#store = store;
    this.#options = options;
  }

  findTag(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#try('findTag', undefined, () => this.#store.findTag(repository, tag));
  }

  saveTag(repository: RepositoryKey, record: TagRecord): Promise<void> {
    return this.#save('saveTag', () => this.#store.saveTag(repository, record));
  }

  forgetTag(repository: RepositoryKey, tag: Tag): Promise<boolean> {
    return this.#try('forgetTag', false, () => this.#store.forgetTag(repository, tag));
  }

  listTags(repository: RepositoryKey): Promise<readonly Tag[]> {
    return this.#try('listTags', [], () => this.#store.listTags(repository));
  }

  findManifest(repository: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    return this.#try('findManifest', undefined, () => this.#store.findManifest(repository, digest));
  }

  findManifestAnywhere(digest: Digest): Promise<Descriptor | undefined> {
    return this.#try('findManifestAnywhere', undefined, () => this.#store.findManifestAnywhere(digest));
  }

  saveManifest(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks): Promise<void> {
    return this.#save('saveManifest', () => this.#store.saveManifest(repository, manifest, links));
  }

  linkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    return this.#save('linkManifest', () => this.#store.linkManifest(repository, digest));
  }

  unlinkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    return this.#try('unlinkManifest', undefined, () => this.#store.unlinkManifest(repository, digest));
  }

  listReferrers(repository: RepositoryKey, subject: Digest): Promise<readonly Manifest[]> {
    return this.#try('listReferrers', [], () => this.#store.listReferrers(repository, subject));
  }

  findBlob(repository: RepositoryKey, digest: Digest): Promise<BlobRecord | undefined> {
    return this.#try('findBlob', undefined, () => this.#store.findBlob(repository, digest));
  }

  linkBlob(repository: RepositoryKey, blob: BlobRecord): Promise<void> {
    return this.#save('linkBlob', () => this.#store.linkBlob(repository, blob));
  }

  forgetBlob(digest: Digest): Promise<boolean> {
    return this.#try('forgetBlob', false, () => this.#store.forgetBlob(digest));
  }

  listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly RepositoryName[]> {
    return this.#try('listRepositories', [], () => this.#store.listRepositories(upstream, after, limit));
  }

  async #save(operation: keyof PullMetadata, write: () => Promise<void>): Promise<void> {
    await this.#try(operation, undefined, async () => {
      await write();
      this.#options.onSaved();
    });
  }

  async #try<T>(operation: keyof PullMetadata, otherwise: T, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#options.onError(operation, error as Error);
      return otherwise;
    }
  }
}
