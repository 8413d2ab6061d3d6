/**
 * What a cache of so many blobs holds, made of numbers alone: any part of it can be named again without a look into the
 * index. The proportions are those of a mirror of a public registry: an index with two images for each tag, each image
 * with a config and four layers of its own on three layers of a base that many share.
 */
import { createHash } from 'node:crypto';
import type { BlobRecord, RepositoryKey, TagRecord } from '../../src/metadata/metadata-store.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE, parseManifest, type Manifest } from '../../src/oci/manifest.ts';
import { parseReference, parseRepositoryName, type Tag } from '../../src/oci/reference.ts';

export const UPSTREAM = 'docker.io';
const OWN_BLOBS = 5;
const BASE_LAYERS = 3;
const IMAGES_PER_INDEX = 2;
const BLOBS_PER_RELEASE = OWN_BLOBS * IMAGES_PER_INDEX;
const RELEASES_PER_REPOSITORY = 50;
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';
const DAY_MS = 86_400_000;
/** Over so long the last uses are spread. */
const HISTORY_MS = 30 * DAY_MS;
/** A fixed one: the same cache each time. */
const NOW = Date.UTC(2026, 0, 1);

/** What is pulled together: a tag, its index, two images and their blobs. */
export interface Release {
  readonly repository: RepositoryKey;
  readonly tag: TagRecord;
  readonly index: Manifest;
  readonly images: readonly [Image, Image];
  readonly usedAt: number;
}

export interface Image {
  readonly manifest: Manifest;
  readonly blobs: readonly [BlobRecord, ...BlobRecord[]];
}

export class CacheContent {
  readonly releases: number;
  readonly #bases: number;
  readonly #repositories: number;

  constructor(blobs: number) {
    this.releases = Math.max(1, Math.floor(blobs / BLOBS_PER_RELEASE));
    this.#bases = Math.max(1, Math.floor(blobs / 1000));
    this.#repositories = Math.max(1, Math.ceil(this.releases / RELEASES_PER_REPOSITORY));
  }

  /** The older ones are in few repositories that have many tags, as the popular ones do. */
  repositoryOf(release: number): RepositoryKey {
    return repositoryNumber(Math.floor(this.#repositories * fraction('repository', release) ** 2));
  }

  release(number: number): Release {
    const images = [this.#image(number, 0), this.#image(number, 1)] as const;
    const index = jsonManifest(MEDIA_TYPE.ociIndex, {
      manifests: images.map(({ manifest: { descriptor } }, at) => ({
        ...descriptor,
        platform: { architecture: at === 0 ? 'amd64' : 'arm64', os: 'linux' },
      })),
    });
    const usedAt = Math.floor(NOW - HISTORY_MS * fraction('use', number));
    return {
      repository: this.repositoryOf(number),
      tag: { tag: tagOf(number), descriptor: index.descriptor, checkedAt: usedAt },
      ...{ index, images, usedAt },
    };
  }

  /** The one with most tags. */
  largestRepository(): RepositoryKey {
    return repositoryNumber(0);
  }

  ownBlob(number: number): BlobRecord {
    return blobOf('own', number);
  }

  /** A layer of a base: the lower the number, the more images stand on it. */
  sharedBlob(number: number): BlobRecord {
    return blobOf('base', number);
  }

  #image(release: number, at: number): Image {
    const number = release * IMAGES_PER_INDEX + at;
    const base = Math.floor(this.#bases * fraction('base', number) ** 3);
    const owned = (n: number) => this.ownBlob(number * OWN_BLOBS + n);
    const own = [owned(0), owned(1), owned(2), owned(3), owned(4)] as const;
    const shared = Array.from({ length: BASE_LAYERS }, (_, n) => this.sharedBlob(base * BASE_LAYERS + n));
    const [config, ...layers] = own.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size }));
    const below = shared.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size }));
    const manifest = jsonManifest(MEDIA_TYPE.ociManifest, {
      config: { ...config, mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [...below, ...layers],
    });
    return { manifest, blobs: [...own, ...shared] };
  }
}

function repositoryNumber(number: number): RepositoryKey {
  return { upstream: UPSTREAM, name: parseRepositoryName(`team-${number % 97}/app-${number}`) };
}

function tagOf(release: number): Tag {
  const reference = parseReference(`v${release}`);
  if (reference.kind !== 'tag') throw new Error(`v${release} is no tag`);
  return reference.tag;
}

function jsonManifest(mediaType: string, content: object): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }, null, 2));
  return parseManifest(bytes, mediaType, digestOf(bytes));
}

/** As good as random, in an order that has nothing to do with the digests' own. */
function blobOf(kind: string, number: number): BlobRecord {
  const hash = createHash('sha256').update(`${kind} ${number}`).digest();
  return {
    digest: `sha256:${hash.toString('hex')}` as Digest,
    size: 1000 + (hash.readUInt32LE(0) % 50_000_000),
  };
}

/** From 0 to 1, the same for the same number. */
function fraction(seed: string, number: number): number {
  return createHash('sha256').update(`${seed} ${number}`).digest().readUInt32LE(0) / 2 ** 32;
}
