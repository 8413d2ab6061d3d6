/**
 * The manifests of one upstream's repositories, by digest. Each is fetched once, and only for a repository that upstream
 * shows to hold it. Throws UpstreamError for whoever knows what to say instead.
 */
import { SingleFlight } from '../lib/single-flight.ts';
import type { PullMetadata, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { linksOf, type Descriptor, type Manifest } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Ask } from './ask.ts';
import type { CacheSpace } from './cache-space.ts';
import { whileHeld } from './freshness.ts';
import type { Served, Source } from './repository.ts';

export interface MirrorManifestsPorts {
  /** Of which no method fails: what our disk can't do is our problem, not the client's. */
  readonly metadata: PullMetadata;
  readonly space: CacheSpace;
  readonly ask: Ask;
  readonly onFetched: (bytes: number) => void;
}

export type Target = Served<{ readonly descriptor: Descriptor }>;

export class MirrorManifests {
  readonly #ports: MirrorManifestsPorts;
  readonly #upstream: Upstream;
  readonly #fetches = new SingleFlight<string, Served<Manifest>>();

  constructor(ports: MirrorManifestsPorts, upstream: Upstream) {
    this.#ports = ports;
    this.#upstream = upstream;
  }

  async resolve(repository: RepositoryKey, digest: Digest): Promise<Target> {
    const { metadata } = this.#ports;
    const held = await metadata.findManifest(repository, digest);
    if (held) return { descriptor: held.descriptor, source: 'hit', validity: whileHeld(digest) };
    const resolved = await this.#ask(repository, digest);
    if (resolved.manifest) await this.save(repository, resolved.manifest);
    else await metadata.linkManifest(repository, digest);
    return { descriptor: resolved.descriptor, source: 'miss' };
  }

  /** @param source how the digest was found, which is how the manifest is served if it is here */
  async find(repository: RepositoryKey, digest: Digest, source: Source): Promise<Served<Manifest>> {
    const held = await this.#ports.metadata.findManifest(repository, digest);
    if (held) return { ...held, source: source === 'miss' ? 'revalidated' : source };
    const role = { isFetcher: false };
    const fetched = await this.#fetches.run(`${repository.name}@${digest}`, () => {
      role.isFetcher = true;
      return this.#fetch(repository, digest);
    });
    return role.isFetcher ? fetched : { ...fetched, source: 'joined' };
  }

  /** For one that has just come; if it finds no room it is served all the same. */
  async save(repository: RepositoryKey, manifest: Manifest): Promise<void> {
    const { space, metadata, onFetched } = this.#ports;
    onFetched(manifest.bytes.length);
    using reservation = await space.reserve(manifest.bytes.length);
    if (reservation) await metadata.saveManifest(repository, manifest, linksOf(manifest));
  }

  async #fetch(repository: RepositoryKey, digest: Digest): Promise<Served<Manifest>> {
    const { metadata, ask } = this.#ports;
    // The bytes may be here from another repository; then a HEAD, which is free, shows that this one has them too.
    if (await metadata.findManifestAnywhere(digest)) {
      await this.#ask(repository, digest);
      await metadata.linkManifest(repository, digest);
      const linked = await metadata.findManifest(repository, digest);
      if (linked) return { ...linked, source: 'revalidated' };
    }
    const manifest = await ask('manifest', (until) =>
      this.#upstream.fetchManifest(repository.name, { kind: 'digest', digest }, until),
    );
    if (!manifest) throw unknownManifest(digest);
    await this.save(repository, manifest);
    return { ...manifest, source: 'miss' };
  }

  async #ask(repository: RepositoryKey, digest: Digest) {
    const resolved = await this.#ports.ask('manifest', (until) =>
      this.#upstream.resolve(repository.name, { kind: 'digest', digest }, until),
    );
    if (!resolved) throw unknownManifest(digest);
    return resolved;
  }
}

export function unknownManifest(reference: Tag | Digest): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', 'the repository has no such manifest', {
    detail: { reference },
  });
}
