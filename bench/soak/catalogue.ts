/**
 * What the upstream of a soak has: repositories that come and go, tags that move, images that share layers. It changes
 * without end and never grows: what is old is dropped, and its name is never used again.
 */
import { createCipheriv, createHash } from 'node:crypto';
import type { Random } from '../../test/support/random.ts';
import { MANIFEST_TYPE } from '../images.ts';

const KIB = 1024;
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const BASE_LAYERS = 20;
const MAX_LAYER_BYTES_LOG2 = 21;
/** As many releases of a repository as can be pulled by digest. */
const KEPT_RELEASES = 4;
/** A tag that is served stale may be from further back than those. */
const REMEMBERED_DIGESTS = 64;

export interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly seed: string;
}

export interface Release {
  readonly tag: string;
  readonly digest: string;
  readonly manifest: Buffer;
  readonly blobs: readonly Blob[];
}

export interface Repository {
  readonly name: string;
  /** The newest last. */
  readonly releases: Release[];
  /** All that `latest` has pointed to, the newest last. */
  readonly latest: string[];
}

export class Catalogue {
  readonly #random: Random;
  readonly #base: readonly Blob[];
  readonly #repositories: Repository[] = [];
  readonly #byName = new Map<string, Repository>();
  #named = 0;
  #released = 0;

  constructor(random: Random, repositories: number) {
    this.#random = random;
    this.#base = random.list(BASE_LAYERS, (index) => blobOf(`base-${index}`, this.#layerBytes()));
    for (let count = 0; count < repositories; count += 1) this.#open();
  }

  /** How many names and how many images there have been. */
  get seen(): { readonly repositories: number; readonly releases: number } {
    return { repositories: this.#named, releases: this.#released };
  }

  find(name: string): Repository | undefined {
    return this.#byName.get(name);
  }

  /** Some are asked for far more often than others. */
  pick(random: Random): Repository {
    const { length } = this.#repositories;
    const place = Math.floor(length * (random.below(KIB) / KIB) ** 3);
    return this.#repositories[place] as Repository;
  }

  /** Somebody pushes: mostly a new release, and now and then a repository takes the place of an older one. */
  change(): void {
    if (this.#random.chance(0.1)) {
      const [gone] = this.#repositories.splice(this.#random.below(this.#repositories.length), 1);
      if (gone) this.#byName.delete(gone.name);
      this.#open();
    } else this.#release(this.#random.pick(this.#repositories));
  }

  #open(): void {
    const name = `soak/app-${(this.#named += 1)}`;
    const repository: Repository = { name, releases: [], latest: [] };
    this.#repositories.push(repository);
    this.#byName.set(name, repository);
    this.#release(repository);
  }

  #release(repository: Repository): void {
    const seed = `release-${(this.#released += 1)}`;
    const own = this.#random.list(this.#random.between(1, 3), (index) =>
      blobOf(`${seed}-${index}`, this.#layerBytes()),
    );
    const layers = [this.#random.pick(this.#base), ...own];
    const config = blobOf(`${seed}-config`, 2 * KIB);
    const manifest = Buffer.from(JSON.stringify(manifestOf(config, layers)));
    const digest = digestOf(manifest);
    repository.releases.push({ tag: `v${this.#released}`, digest, manifest, blobs: [config, ...layers] });
    repository.latest.push(digest);
    if (repository.releases.length > KEPT_RELEASES) repository.releases.shift();
    if (repository.latest.length > REMEMBERED_DIGESTS) repository.latest.shift();
  }

  /** From a kibibyte to two mebibytes, as many of one size as of another. */
  #layerBytes(): number {
    return 2 ** this.#random.between(10, MAX_LAYER_BYTES_LOG2 - 1) + this.#random.below(KIB);
  }
}

/** The key stream of a cipher: nothing of it has to be kept. */
export function bytesOf({ seed, size }: Pick<Blob, 'seed' | 'size'>): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16)).update(Buffer.alloc(size));
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function blobOf(seed: string, size: number): Blob {
  return { seed, size, digest: digestOf(bytesOf({ seed, size })) };
}

function manifestOf(config: Blob, layers: readonly Blob[]): object {
  return {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.size },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  };
}
