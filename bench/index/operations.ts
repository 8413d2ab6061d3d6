/**
 * The program of a process that opens an index and times what the mirror does with it, as little cached as a mirror
 * that has just started. Prints the Timing of each operation as a line of JSON, and last the memory that it has.
 * Arguments: the directory, how many blobs its index was made with, how often each operation is to be done.
 */
import { join } from 'node:path';
import type { EvictionCandidate, MetadataStore } from '../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { linksOf } from '../../src/oci/manifest.ts';
import { CacheContent, UPSTREAM, type Release } from './content.ts';
import { timeOperation } from './timing.ts';

/** A prime larger than any number of releases: its multiples are all over the cache. */
const STRIDE = 7_368_787;

class Operations {
  readonly #store: MetadataStore;
  readonly #content: CacheContent;
  readonly #rounds: number;
  #picked = 0;
  /** Behind all that is there. */
  #added: number;

  constructor(store: MetadataStore, content: CacheContent, rounds: number) {
    this.#store = store;
    this.#content = content;
    this.#rounds = rounds;
    this.#added = content.releases;
  }

  async run(): Promise<void> {
    await this.#finds();
    await this.#lists();
    await this.#additions();
    await this.#uses();
    await this.#evictions();
  }

  async #finds(): Promise<void> {
    const store = this.#store;
    await this.#time('findTag', this.#known, ({ repository, tag }) => store.findTag(repository, tag.tag));
    await this.#time('findManifest', this.#known, ({ repository, index }) =>
      store.findManifest(repository, index.descriptor.digest),
    );
    await this.#time('findBlob', this.#known, ({ repository, image, blob }) =>
      store.findBlob(repository, image.blobs[1]?.digest ?? blob.digest),
    );
    await this.#time('totals', this.#known, () => store.totals());
  }

  async #lists(): Promise<void> {
    const store = this.#store;
    const few = Math.ceil(this.#rounds / 20);
    const middle = this.#content.repositoryOf(this.#content.releases - 1).name;
    const largest = this.#content.largestRepository();
    for (const [where, after] of [
      ['the first', undefined],
      ['from the middle', middle],
    ] as const) {
      await this.#time(
        `listRepositories, 1000 ${where}`,
        this.#known,
        () => store.listRepositories(UPSTREAM, after, 1000),
        few,
      );
    }
    await this.#time('listTags, the most that one has', this.#known, () => store.listTags(largest), few);
    await this.#time('leastRecentlyUsed, 100', this.#known, () => store.leastRecentlyUsed(100), few);
    await this.#time(
      'listBlobs, 10000',
      this.#known,
      async ({ blob }) => {
        let seen = 0;
        for await (const _ of store.listBlobs(blob.digest)) if ((seen += 1) === 10_000) break;
      },
      few,
    );
  }

  async #additions(): Promise<void> {
    const store = this.#store;
    await this.#time('linkBlob', this.#new, ({ repository, blob }) => store.linkBlob(repository, blob));
    await this.#time('saveManifest', this.#new, ({ repository, image: { manifest } }) =>
      store.saveManifest(repository, manifest, linksOf(manifest)),
    );
    await this.#time('saveTag', this.#new, ({ repository, tag }) => store.saveTag(repository, tag));
    await this.#time(
      'recordFound, 1000 new ones',
      () => Array.from({ length: 1000 }, () => this.#content.ownBlob(1e9 + this.#added++)),
      (blobs) => store.recordFound(blobs, Date.now()),
      Math.ceil(this.#rounds / 100),
    );
  }

  async #uses(): Promise<void> {
    for (const [many, share] of [
      [1, 1],
      [1000, 100],
    ] as const) {
      await this.#time(
        `recordAccess, ${many} ${many === 1 ? 'release' : 'releases'}`,
        () => Array.from({ length: many }, () => this.#known().index.descriptor.digest),
        (used) => this.#store.recordAccess(used, Date.now()),
        Math.ceil(this.#rounds / share),
      );
    }
  }

  async #evictions(): Promise<void> {
    const candidates: EvictionCandidate[] = [];
    const evictMany = (many: number) => async () => {
      for (let n = 0; n < many; n += 1) {
        if (candidates.length === 0) candidates.push(...(await this.#store.leastRecentlyUsed(100)));
        const candidate = candidates.shift();
        if (candidate) await this.#store.evict(candidate);
      }
    };
    await this.#time('evict, 1', this.#known, evictMany(1));
    await this.#time('evict, 100', this.#known, evictMany(100), Math.ceil(this.#rounds / 50));
    // A tenth of the images stands on it in a cache of a million blobs, a twentieth in one of ten million.
    const { digest } = this.#content.sharedBlob(0);
    const evict = () => this.#store.evict({ kind: 'blob', digest });
    await this.#time('evict, the layer with most images', this.#known, evict, 1);
  }

  readonly #known = () => this.#partsOf((++this.#picked * STRIDE) % this.#content.releases);
  readonly #new = () => this.#partsOf(this.#added++);

  #partsOf(number: number): Release & Record<'image', Release['images'][0]> & Record<'blob', BlobOf> {
    const release = this.#content.release(number);
    const [image] = release.images;
    const [blob] = image.blobs;
    return { ...release, image, blob };
  }

  async #time<T>(
    operation: string,
    prepare: () => T,
    work: (item: T) => Promise<unknown>,
    count = this.#rounds,
  ): Promise<void> {
    say(await timeOperation(operation, count, prepare, work));
  }
}

type BlobOf = Release['images'][0]['blobs'][0];

function say(finding: object): void {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}

const [directory = '', blobs = '', rounds = ''] = process.argv.slice(2);
const { store } = openSqliteMetadataStore({ path: join(directory, 'index.sqlite') });
await new Operations(store, new CacheContent(Number(blobs)), Number(rounds)).run();
say({ rssBytes: process.memoryUsage.rss() });
await store.close();
