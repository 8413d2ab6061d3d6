/** What is cached, for whoever runs the mirror: repositories of all upstreams by the names that people give them. */
import type { CatalogStore, ManifestSummary, TagSummary } from '../metadata/catalog-store.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import { algorithmOf, hexOf, isDigest, type Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';
import { partsOf, type Child } from '../oci/manifest-parts.ts';
import { formatPlatform, isOfNoPlatform } from '../oci/platform.ts';
import { isTag } from '../oci/reference.ts';
import { AdminError, type Catalog, type PageRequest } from './administration.ts';
import type { ConfigReader } from './config-reader.ts';
import type { ImageName, ImageNames } from './names.ts';
import { afterOf, pageOf } from './pages.ts';
import { pinsOf } from './pins.ts';
import { RepositoryList } from './repository-list.ts';
import type {
  ContentView,
  ManifestSummaryView,
  ManifestView,
  Page,
  RepositoryView,
  TagView,
} from './views.ts';

export interface MirrorCatalogOptions {
  readonly store: CatalogStore;
  readonly metadata: Pick<MetadataStore, 'findTag' | 'findManifest'>;
  readonly configs: Pick<ConfigReader, 'platformOf'>;
  readonly names: ImageNames;
  /** Of the configuration. */
  readonly upstreams: readonly string[];
}

export class MirrorCatalog implements Catalog {
  readonly #options: MirrorCatalogOptions;
  readonly #repositories: RepositoryList;

  constructor(options: MirrorCatalogOptions) {
    this.#options = options;
    this.#repositories = new RepositoryList(options);
  }

  listRepositories(
    page: PageRequest & { readonly search?: string | undefined },
  ): Promise<Page<RepositoryView>> {
    return this.#repositories.page(page);
  }

  async listTags(text: string, page: PageRequest): Promise<Page<TagView>> {
    const { names, store } = this.#options;
    const repository = names.parseRepository(text);
    const after = afterOf(page.after, isTag);
    const pins = await pinsOf(store, repository);
    const tags = await pageOf(page, (count) => store.listTags(repository, after, count), {
      keyOf: ({ tag }) => tag,
      viewOf: async (tag) => ({
        ...(await this.#tagView(repository, tag)),
        isPinned: pins.has(tag.tag) || pins.has(tag.descriptor.digest),
      }),
    });
    if (tags.items.length === 0) await this.#repositories.mustHave(repository);
    return tags;
  }

  async listManifests(text: string, page: PageRequest): Promise<Page<ManifestSummaryView>> {
    const { names, store } = this.#options;
    const repository = names.parseRepository(text);
    const after = afterOf(page.after, isDigest);
    const manifests = await pageOf(page, (count) => store.listManifests(repository, after, count), {
      keyOf: ({ descriptor }) => descriptor.digest,
      viewOf: summaryView,
    });
    if (manifests.items.length === 0) await this.#repositories.mustHave(repository);
    return manifests;
  }

  async manifest(text: string): Promise<ManifestView> {
    const { names, store, metadata } = this.#options;
    const name = names.parse(text);
    const { repository } = name;
    const digest = await this.#digestOf(name);
    const manifest = await metadata.findManifest(repository, digest);
    const [summary] = await store.listManifests(repository, justBefore(digest), 1);
    // The second may have been evicted since the first.
    if (!manifest || summary?.descriptor.digest !== digest) throw this.#notCached(name);
    const pins = await pinsOf(store, repository);
    const { config, layers, subject, ...parts } = partsOf(manifest);
    const manifests = parts.manifests.filter((child) => !isAttestation(child));
    const all = [...manifests, ...(config ? [config] : []), ...layers];
    const described = await store.describe(
      repository,
      all.map((part) => part.digest),
    );
    const contents = all.map(({ mediaType, digest, size }, position): ContentView => {
      const { isHeld = false, repositories = 0 } = described[position] ?? {};
      return { ...{ digest, mediaType, size }, ...{ isHeld, repositories } };
    });
    const platform = await this.#options.configs.platformOf(config);
    return {
      ...summaryView(summary),
      ...{ repository: names.format(repository), upstream: repository.upstream },
      ...(platform ? { platform: formatPlatform(platform) } : {}),
      ...(subject === undefined ? {} : { subject }),
      manifests: contents.slice(0, manifests.length).map((content, position) => {
        const own = manifests[position]?.platform;
        return own ? { ...content, platform: formatPlatform(own) } : content;
      }),
      ...(config ? { config: contents[manifests.length] as ContentView } : {}),
      layers: contents.slice(contents.length - layers.length),
      isPinned: pins.has(digest) || summary.tags.some((tag) => pins.has(tag)),
    };
  }

  async #tagView(
    repository: RepositoryKey,
    { tag, descriptor, checkedAt, usedAt, bytes }: TagSummary,
  ): Promise<Omit<TagView, 'isPinned'>> {
    const manifest = await this.#options.metadata.findManifest(repository, descriptor.digest);
    return {
      ...{ tag, digest: descriptor.digest, mediaType: descriptor.mediaType, bytes },
      checkedAt: iso(checkedAt),
      isHeld: manifest !== undefined,
      platforms: manifest ? await this.#platformsOf(repository, manifest) : [],
      ...(usedAt === undefined ? {} : { lastUsedAt: iso(usedAt) }),
    };
  }

  /** Of an index, those whose manifests are here. */
  async #platformsOf(repository: RepositoryKey, manifest: Manifest): Promise<readonly string[]> {
    const { manifests, config } = partsOf(manifest);
    const own = await this.#options.configs.platformOf(config);
    if (own) return [formatPlatform(own)];
    const digests = manifests.map(({ digest }) => digest);
    const described = await this.#options.store.describe(repository, digests);
    const held = new Set(described.flatMap(({ digest, isHeld }) => (isHeld ? digest : [])));
    const platforms = manifests.flatMap((child) => {
      return child.platform && held.has(child.digest) && !isAttestation(child)
        ? formatPlatform(child.platform)
        : [];
    });
    return [...new Set(platforms)];
  }

  async #digestOf(name: ImageName): Promise<Digest> {
    const { repository, reference } = name;
    if (reference.kind === 'digest') return reference.digest;
    const record = await this.#options.metadata.findTag(repository, reference.tag);
    if (!record) throw this.#notCached(name);
    return record.descriptor.digest;
  }

  #notCached({ repository, reference }: ImageName): AdminError {
    const shown = this.#options.names.formatReference(repository, reference);
    return new AdminError('unknown', `the manifest of ${shown} is not cached`);
  }
}

function summaryView({ descriptor, tags, usedAt }: ManifestSummary): ManifestSummaryView {
  const { digest, mediaType, size } = descriptor;
  return { ...{ digest, mediaType, size }, tags, lastUsedAt: iso(usedAt) };
}

function isAttestation({ platform }: Child): boolean {
  return platform !== undefined && isOfNoPlatform(platform);
}

/** What a page has to come after for this digest to be its first; `undefined` where nothing can come before it. */
function justBefore(digest: Digest): Digest | undefined {
  const hex = hexOf(digest);
  const number = BigInt(`0x${hex}`);
  if (number === 0n) return undefined;
  return `${algorithmOf(digest)}:${(number - 1n).toString(16).padStart(hex.length, '0')}` as Digest;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
