/** One upstream with the cache in front of it: gives out its repositories. */
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { algorithmOf, hexOf } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { asReferrer, referrersIn, type ReferrerDescriptor } from '../oci/manifest.ts';
import { isTag, type RepositoryName } from '../oci/reference.ts';
import { UpstreamError, type Upstream } from '../upstream/upstream.ts';
import { Listings } from './listings.ts';
import { MirrorBlobs, type MirrorBlobsPorts } from './mirror-blobs.ts';
import { MirrorManifests, type MirrorManifestsPorts } from './mirror-manifests.ts';
import type { Repository, Served } from './repository.ts';
import { asRegistryError } from './upstream-failure.ts';

export type MirrorPorts = MirrorBlobsPorts & MirrorManifestsPorts;

/** Memory for the lists of tags, and as much for those of referrers, of one upstream. */
const LISTINGS_BYTES = 8 * 1024 * 1024;

export class Mirror {
  readonly upstream: Upstream;
  readonly #metadata: MetadataStore;
  readonly #signal: AbortSignal;
  readonly #blobs: MirrorBlobs;
  readonly #manifests: MirrorManifests;
  readonly #tags: Listings<string>;
  readonly #referrers: Listings<ReferrerDescriptor>;

  constructor(ports: MirrorPorts, upstream: Upstream) {
    this.upstream = upstream;
    this.#metadata = ports.metadata;
    this.#signal = ports.signal;
    this.#blobs = new MirrorBlobs(ports, upstream);
    this.#manifests = new MirrorManifests(ports, upstream);
    const listings = { ttlMs: ports.tagTtlMs, maxBytes: LISTINGS_BYTES, now: ports.now };
    this.#tags = new Listings({ ...listings, sizeOf: (tag) => tag.length + 16 });
    this.#referrers = new Listings({ ...listings, sizeOf: (referrer) => JSON.stringify(referrer).length });
  }

  repository(name: RepositoryName): Repository {
    const key: RepositoryKey = { upstream: this.upstream.name, name };
    return {
      resolve: (reference) => this.#manifests.resolve(key, reference),
      manifest: (reference) => this.#manifests.find(key, reference),
      statBlob: (digest) => this.#blobs.stat(key, digest),
      blob: (digest) => this.#blobs.open(key, digest),
      tags: () => this.#listTags(key),
      referrers: (digest) => this.#listReferrers(key, digest),
    };
  }

  /** Names of repositories of which something is cached, in lexical order; `after` is exclusive. */
  repositoryNames(after: string | undefined, limit: number): Promise<readonly RepositoryName[]> {
    return this.#metadata.listRepositories(this.upstream.name, after, limit);
  }

  async #listTags(key: RepositoryKey): Promise<Served<{ tags: readonly string[] }>> {
    const load = async () => {
      const tags = await this.upstream.listTags(key.name, this.#signal);
      if (!tags)
        throw new RegistryError('NAME_UNKNOWN', 'upstream has no such repository', {
          detail: { name: key.name },
        });
      return [...new Set(tags)].sort();
    };
    const known = async () => {
      const tags = await this.#metadata.listTags(key);
      return tags.length > 0 ? tags : undefined;
    };
    const { entries, source } = await translated(`the list of tags of ${key.name}`, () =>
      this.#tags.find(key.name, load, known),
    );
    return { tags: entries, source };
  }

  async #listReferrers(
    key: RepositoryKey,
    digest: Digest,
  ): Promise<Served<{ referrers: readonly ReferrerDescriptor[] }>> {
    const load = async () =>
      (await this.upstream.listReferrers(key.name, digest, this.#signal)) ??
      (await this.#referrersByTag(key, digest));
    // dockerd asks for referrers in the middle of a pull: for an image that is here there is an answer, if an empty one.
    const known = async () => {
      const isHeld = await this.#metadata.findManifest(key, digest);
      return isHeld && (await this.#metadata.listReferrers(key, digest)).map(asReferrer);
    };
    const { entries, source } = await translated(`the referrers of ${key.name}@${digest}`, () =>
      this.#referrers.find(`${key.name}@${digest}`, load, known),
    );
    return { referrers: entries, source };
  }

  /** The fallback of distribution-spec v1.1.1, "Referrers Tag Schema": an index under a tag made of the digest. */
  async #referrersByTag(key: RepositoryKey, digest: Digest): Promise<readonly ReferrerDescriptor[]> {
    const tag = `${algorithmOf(digest).slice(0, 32)}-${hexOf(digest).slice(0, 64)}`;
    const manifest =
      isTag(tag) && (await this.upstream.fetchManifest(key.name, { kind: 'tag', tag }, this.#signal));
    return manifest ? referrersIn(JSON.parse(new TextDecoder().decode(manifest.bytes))) : [];
  }
}

async function translated<T>(subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof UpstreamError ? asRegistryError(error, subject) : error;
  }
}
