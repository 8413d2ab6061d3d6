/**
 * What upstream has to offer, made from the seed: repositories that share blobs of all sizes, and ever new images for
 * their tags. Every byte that is right is known here.
 */
import type { Digest } from '../../../src/oci/digest.ts';
import { buildImage, buildIndex, randomBytes, type Content, type Pushable } from '../../support/images.ts';
import { Random } from '../../support/random.ts';

const MIB = 1024 * 1024;
/** Around the limits at which the mirror does something else: hot blobs (64 KiB), buffers (256 KiB), checkpoints (4 MiB). */
const EDGE_SIZES = [0, 1, 4096, 65_536, 65_537, 256 * 1024, 4 * MIB, 4 * MIB + 1, 9 * MIB];
/** More than the smaller caches hold, so that there is always something to evict and to fetch again. */
const MEDIUM_BLOBS = 20;
const LARGE_BYTES = 34 * MIB;
const REPOSITORIES = ['library/alpine', 'library/tags/list', 'team/app', 'team/app/deeper', 'a/manifests/b'];
const TAGS = ['latest', '3', 'v1.0_x-y'];
/** Older ones stay at upstream, but nobody asks for them any more. */
const MAX_REMEMBERED = 12;

export interface Release {
  readonly repository: string;
  readonly image: Pushable;
}

export class Catalogue {
  readonly repositories: readonly string[] = REPOSITORIES;
  readonly tags: readonly string[] = TAGS;
  readonly #seed: string;
  readonly #shared: readonly Buffer[];
  readonly #contents = new Map<Digest, Content>();
  readonly #releases = new Map<string, Release[]>();
  readonly #referrers = new Map<Digest, readonly Digest[]>();
  #count = 0;

  constructor(seed: string) {
    this.#seed = seed;
    const random = new Random(`${seed}/catalogue`);
    const medium = Array.from({ length: MEDIUM_BLOBS }, () => random.between(MIB / 4, 4 * MIB));
    this.#shared = [...EDGE_SIZES, ...medium].map((size) => randomBytes(`${seed}/${size}`, size));
  }

  /** An image that there was not before, which shares most of its blobs with others. */
  release(repository: string, isLarge = false): Release {
    const random = new Random(`${this.#seed}/release/${this.#count++}`);
    const isIndex = random.chance(0.4);
    const image = isIndex
      ? buildIndex(
          ['amd64', 'arm64'].map((architecture) => ({
            image: this.#image(random, architecture, false),
            platform: { os: 'linux', architecture },
          })),
          { annotations: { release: random.seed } },
        )
      : this.#image(random, 'amd64', isLarge);
    return this.#remember({ repository, image });
  }

  /** Something that refers to an image, as a signature does. */
  refer({ repository, image }: Release): Release {
    const referrer = buildImage({
      subject: image.manifest,
      layers: [Buffer.from(`signed ${image.manifest.digest}`)],
      artifactType: 'application/vnd.example.signature',
      seed: image.manifest.digest,
    });
    const known = this.referrersOf(image.manifest.digest);
    this.#referrers.set(image.manifest.digest, [...known, referrer.manifest.digest]);
    return this.#remember({ repository, image: referrer });
  }

  referrersOf(digest: Digest): readonly Digest[] {
    return this.#referrers.get(digest) ?? [];
  }

  find(digest: string): Content | undefined {
    return this.#contents.get(digest as Digest);
  }

  releasesOf(repository: string): readonly Release[] {
    return this.#releases.get(repository) ?? [];
  }

  #image(random: Random, architecture: string, isLarge: boolean): Pushable {
    const own = randomBytes(random.seed + architecture, random.between(1, 20_000));
    const layers = Array.from({ length: random.between(1, 4) }, () => random.pick(this.#shared));
    if (isLarge) layers.push(randomBytes(`${this.#seed}/large`, LARGE_BYTES));
    return buildImage({
      layers: [...new Set([...layers, own])],
      mediaTypes: random.chance(0.3) ? 'docker' : 'oci',
      seed: random.seed,
      architecture,
    });
  }

  #remember(release: Release): Release {
    for (const content of contentsOf(release.image)) {
      // One copy of the bytes of what many share.
      if (!this.#contents.has(content.digest)) this.#contents.set(content.digest, content);
    }
    const newest = [...this.releasesOf(release.repository), release].slice(-MAX_REMEMBERED);
    this.#releases.set(release.repository, newest);
    return release;
  }
}

/** Its manifest, its blobs, and those of its children. */
export function contentsOf(image: Pushable): readonly Content[] {
  return [image.manifest, ...image.blobs, ...image.children.flatMap(contentsOf)];
}
