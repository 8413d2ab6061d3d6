/** One upstream with the cache in front of it: gives out its repositories. */
import { untilAborted } from '../lib/single-flight.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { algorithmOf, hexOf, type Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import {
  asReferrer,
  referrersIn,
  type Descriptor,
  type Manifest,
  type ReferrerDescriptor,
} from '../oci/manifest.ts';
import { formatReference, isTag, type Reference, type RepositoryName } from '../oci/reference.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { whileHeld } from './freshness.ts';
import { Listings } from './listings.ts';
import { MirrorBlobs, type MirrorBlobsPorts } from './mirror-blobs.ts';
import { MirrorManifests, type MirrorManifestsPorts, type Target } from './mirror-manifests.ts';
import { MirrorTags, type MirrorTagsPorts } from './mirror-tags.ts';
import type { Repository, Served } from './repository.ts';
import { translating } from './upstream-failure.ts';

export type MirrorPorts = MirrorBlobsPorts & MirrorManifestsPorts & MirrorTagsPorts;

/** Memory for the lists of tags, and as much for those of referrers, of one upstream. */
const LISTINGS_BYTES = 8 * 1024 * 1024;

export class Mirror {
  readonly upstream: Upstream;
  readonly #ports: MirrorPorts;
  readonly #blobs: MirrorBlobs;
  readonly #manifests: MirrorManifests;
  readonly #tags: MirrorTags;
  readonly #tagLists: Listings<string>;
  readonly #referrerLists: Listings<ReferrerDescriptor>;

  constructor(ports: MirrorPorts, upstream: Upstream) {
    this.upstream = upstream;
    this.#ports = ports;
    this.#blobs = new MirrorBlobs(ports, upstream);
    this.#manifests = new MirrorManifests(ports, upstream);
    this.#tags = new MirrorTags(ports, upstream, this.#manifests);
    const { tagTtlMs: ttlMs, now, ask } = ports;
    const listings = { ttlMs, maxBytes: LISTINGS_BYTES, now, ask };
    this.#tagLists = new Listings({ ...listings, kind: 'tags', sizeOf: (tag) => tag.length + 16 });
    this.#referrerLists = new Listings({
      ...listings,
      kind: 'referrers',
      sizeOf: (referrer) => JSON.stringify(referrer).length,
    });
  }

  repository(name: RepositoryName): Repository {
    const key: RepositoryKey = { upstream: this.upstream.name, name };
    return {
      resolve: (reference) => this.#used(key, reference, () => this.#resolve(key, reference)),
      manifest: (reference) => this.#used(key, reference, () => this.#find(key, reference)),
      statBlob: (digest) => this.#blobs.stat(key, digest),
      blob: (digest, requester) => this.#blobs.open(key, digest, requester),
      tags: () => this.#listTags(key),
      referrers: (digest) => this.#listReferrers(key, digest),
    };
  }

  /** Names of repositories of which something is cached, in lexical order; `after` is exclusive. */
  repositoryNames(after: string | undefined, limit: number): Promise<readonly RepositoryName[]> {
    return this.#ports.metadata.listRepositories(this.upstream.name, after, limit);
  }

  #resolve(key: RepositoryKey, reference: Reference): Promise<Target> {
    if (reference.kind === 'tag') return this.#tags.resolve(key, reference.tag);
    return this.#manifests.resolve(key, reference.digest);
  }

  async #find(key: RepositoryKey, reference: Reference): Promise<Served<Manifest>> {
    if (reference.kind === 'tag') return this.#tags.find(key, reference.tag);
    try {
      const manifest = await this.#manifests.find(key, reference.digest, 'hit');
      if (manifest.source === 'hit') return { ...manifest, validity: whileHeld(reference.digest) };
      await this.#tags.settle(key, reference.digest);
      return manifest;
    } catch (error) {
      await this.#tags.doubt(key, reference.digest, error);
      throw error;
    }
  }

  async #used<T extends { readonly descriptor: Descriptor }>(
    { name }: RepositoryKey,
    reference: Reference,
    work: () => Promise<T>,
  ): Promise<T> {
    const separator = reference.kind === 'tag' ? ':' : '@';
    const found = await translating(`the manifest ${name}${separator}${formatReference(reference)}`, work);
    this.#ports.touch(found.descriptor.digest);
    return found;
  }

  async #listTags(key: RepositoryKey): Promise<Served<{ tags: readonly string[] }>> {
    const load = async (until: AbortSignal) => {
      const tags = await this.upstream.listTags(key.name, until);
      if (tags) return [...new Set(tags)].sort();
      throw new RegistryError('NAME_UNKNOWN', 'upstream has no such repository', {
        detail: { name: key.name },
      });
    };
    const known = async () => {
      const tags = await this.#ports.metadata.listTags(key);
      return tags.length > 0 ? tags : undefined;
    };
    const { entries: tags, ...served } = await translating(`the list of tags of ${key.name}`, () =>
      this.#tagLists.find(key.name, load, known),
    );
    return { tags, ...served };
  }

  async #listReferrers(
    key: RepositoryKey,
    digest: Digest,
  ): Promise<Served<{ referrers: readonly ReferrerDescriptor[] }>> {
    const { metadata } = this.#ports;
    const load = async (until: AbortSignal) =>
      (await this.upstream.listReferrers(key.name, digest, until)) ??
      // The tag is resolved for others too, in a time of its own.
      (await untilAborted(this.#referrersByTag(key, digest), until));
    // dockerd asks for referrers in the middle of a pull: for an image that is here there is an answer, if an empty one.
    const known = async () => {
      const isHeld = await metadata.findManifest(key, digest);
      return isHeld && (await metadata.listReferrers(key, digest)).map(asReferrer);
    };
    const { entries: referrers, ...served } = await translating(
      `the referrers of ${key.name}@${digest}`,
      () => this.#referrerLists.find(`${key.name}@${digest}`, load, known),
    );
    return { referrers, ...served };
  }

  /** The fallback of distribution-spec v1.1.1, "Referrers Tag Schema": an index under a tag made of the digest. */
  async #referrersByTag(key: RepositoryKey, digest: Digest): Promise<readonly ReferrerDescriptor[]> {
    const tag = `${algorithmOf(digest).slice(0, 32)}-${hexOf(digest).slice(0, 64)}`;
    try {
      const manifest = isTag(tag) ? await this.#tags.find(key, tag) : undefined;
      return (manifest && referrersIn(JSON.parse(new TextDecoder().decode(manifest.bytes)))) ?? [];
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN') return [];
      throw error;
    }
  }
}
