/**
 * The manifests and tags of one upstream's repositories. A tag within its TTL is answered from the cache; after that
 * one HEAD settles it for everybody who waits. A manifest is fetched by digest, and only when the digest is new.
 */
import { SingleFlight } from '../lib/single-flight.ts';
import type { MetadataStore, RepositoryKey, TagRecord } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { linksOf, type Descriptor, type Manifest } from '../oci/manifest.ts';
import { formatReference, type Reference, type Tag } from '../oci/reference.ts';
import { UpstreamError, type Resolved, type Upstream } from '../upstream/upstream.ts';
import type { CacheSpace } from './cache-space.ts';
import { isFresh } from './freshness.ts';
import type { Served, Source } from './repository.ts';
import { allowsStale, asRegistryError } from './upstream-failure.ts';

export interface MirrorManifestsPorts {
  readonly metadata: MetadataStore;
  readonly space: CacheSpace;
  readonly touch: (digest: Digest) => void;
  readonly onFetched: (bytes: number) => void;
  readonly now: () => number;
  readonly tagTtlMs: number;
  readonly signal: AbortSignal;
}

type Target = Served<{ readonly descriptor: Descriptor }>;

export class MirrorManifests {
  readonly #ports: MirrorManifestsPorts;
  readonly #upstream: Upstream;
  readonly #revalidations = new SingleFlight<string, Target>();
  readonly #fetches = new SingleFlight<string, Served<Manifest>>();

  constructor(ports: MirrorManifestsPorts, upstream: Upstream) {
    this.#ports = ports;
    this.#upstream = upstream;
  }

  async resolve(repository: RepositoryKey, reference: Reference): Promise<Target> {
    const target = await this.#translated(repository, reference, () =>
      reference.kind === 'tag'
        ? this.#resolveTag(repository, reference.tag)
        : this.#resolveDigest(repository, reference.digest),
    );
    this.#ports.touch(target.descriptor.digest);
    return target;
  }

  async find(repository: RepositoryKey, reference: Reference): Promise<Served<Manifest>> {
    const manifest = await this.#translated(repository, reference, async () => {
      if (reference.kind === 'digest') return this.#findByDigest(repository, reference.digest, 'hit');
      const { descriptor, source } = await this.#resolveTag(repository, reference.tag);
      return this.#findByDigest(repository, descriptor.digest, source);
    });
    this.#ports.touch(manifest.descriptor.digest);
    return manifest;
  }

  async #resolveTag(repository: RepositoryKey, tag: Tag): Promise<Target> {
    const known = await this.#ports.metadata.findTag(repository, tag);
    if (known && isFresh(known.checkedAt, this.#ports.tagTtlMs, this.#ports.now())) {
      return { descriptor: known.descriptor, source: 'hit' };
    }
    return this.#revalidations.run(`${repository.name}:${tag}`, () =>
      this.#revalidate(repository, tag, known),
    );
  }

  async #revalidate(repository: RepositoryKey, tag: Tag, known: TagRecord | undefined): Promise<Target> {
    const { metadata, now, signal } = this.#ports;
    let resolved: Resolved | undefined;
    try {
      resolved = await this.#upstream.resolve(repository.name, { kind: 'tag', tag }, signal);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (known && allowsStale(error)) return { descriptor: known.descriptor, source: 'stale' };
      if (!allowsStale(error)) await metadata.forgetTag(repository, tag);
      throw error;
    }
    if (!resolved) {
      await metadata.forgetTag(repository, tag);
      throw unknownManifest(tag);
    }
    const { descriptor, manifest } = resolved;
    if (manifest) await this.#save(repository, manifest);
    await metadata.saveTag(repository, { tag, descriptor, checkedAt: now() });
    return { descriptor, source: known?.descriptor.digest === descriptor.digest ? 'revalidated' : 'miss' };
  }

  async #resolveDigest(repository: RepositoryKey, digest: Digest): Promise<Target> {
    const { metadata, signal } = this.#ports;
    const held = await metadata.findManifest(repository, digest);
    if (held) return { descriptor: held.descriptor, source: 'hit' };
    const resolved = await this.#upstream.resolve(repository.name, { kind: 'digest', digest }, signal);
    if (!resolved) throw unknownManifest(digest);
    if (resolved.manifest) await this.#save(repository, resolved.manifest);
    else await metadata.linkManifest(repository, digest);
    return { descriptor: resolved.descriptor, source: 'miss' };
  }

  /** @param source how the digest was found, which is how the manifest is served if it is here */
  async #findByDigest(repository: RepositoryKey, digest: Digest, source: Source): Promise<Served<Manifest>> {
    const held = await this.#ports.metadata.findManifest(repository, digest);
    if (held) return { ...held, source: source === 'miss' ? 'revalidated' : source };
    const role = { isFetcher: false };
    const fetched = await this.#fetches.run(`${repository.name}@${digest}`, () => {
      role.isFetcher = true;
      return this.#fetch(repository, digest);
    });
    return role.isFetcher ? fetched : { ...fetched, source: 'joined' };
  }

  async #fetch(repository: RepositoryKey, digest: Digest): Promise<Served<Manifest>> {
    const { metadata, signal, onFetched } = this.#ports;
    const reference = { kind: 'digest', digest } as const;
    // The bytes may be here from another repository; then a HEAD, which is free, shows that this one has them too.
    if (await metadata.findManifestAnywhere(digest)) {
      if (!(await this.#upstream.resolve(repository.name, reference, signal))) throw unknownManifest(digest);
      await metadata.linkManifest(repository, digest);
      const linked = await metadata.findManifest(repository, digest);
      if (linked) return { ...linked, source: 'revalidated' };
    }
    const manifest = await this.#upstream.fetchManifest(repository.name, reference, signal);
    if (!manifest) throw unknownManifest(digest);
    onFetched(manifest.bytes.length);
    await this.#save(repository, manifest);
    return { ...manifest, source: 'miss' };
  }

  /** A manifest that finds no room is served all the same. */
  async #save(repository: RepositoryKey, manifest: Manifest): Promise<void> {
    using reservation = await this.#ports.space.reserve(manifest.bytes.length);
    if (reservation) await this.#ports.metadata.saveManifest(repository, manifest, linksOf(manifest));
  }

  async #translated<T>(repository: RepositoryKey, reference: Reference, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const separator = reference.kind === 'tag' ? ':' : '@';
      throw asRegistryError(
        error,
        `the manifest ${repository.name}${separator}${formatReference(reference)}`,
      );
    }
  }
}

function unknownManifest(reference: Tag | Digest): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', 'the repository has no such manifest', {
    detail: { reference },
  });
}
