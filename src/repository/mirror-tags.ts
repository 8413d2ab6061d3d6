/**
 * The tags of one upstream's repositories. Within its TTL a tag is answered from the cache; after that one HEAD settles
 * it for everybody who waits. A tag that has moved leaves the image that it had only when the new one is here: until
 * then the old one is what can be served if upstream fails.
 */
import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import type { MetadataStore, RepositoryKey, TagRecord } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import { UpstreamError, type Resolved, type Upstream } from '../upstream/upstream.ts';
import { ANSWER_MS, BETTER_ANSWER_MS, within } from './deadline.ts';
import { isFresh } from './freshness.ts';
import { unknownManifest, type MirrorManifests, type Target } from './mirror-manifests.ts';
import type { Served } from './repository.ts';
import { allowsStale } from './upstream-failure.ts';

export interface MirrorTagsPorts {
  readonly metadata: MetadataStore;
  readonly remember: (write: Promise<unknown>) => Promise<void>;
  readonly now: () => number;
  readonly tagTtlMs: number;
  readonly signal: AbortSignal;
}

const MAX_MOVES = 10_000;

export class MirrorTags {
  readonly #ports: MirrorTagsPorts;
  readonly #upstream: Upstream;
  readonly #manifests: MirrorManifests;
  readonly #revalidations = new SingleFlight<string, Target>();
  /** Where tags have moved to, of which the index still has the image before, because the new one is not here yet. */
  readonly #moves = new LRUCache<string, TagRecord>({ max: MAX_MOVES });

  constructor(ports: MirrorTagsPorts, upstream: Upstream, manifests: MirrorManifests) {
    this.#ports = ports;
    this.#upstream = upstream;
    this.#manifests = manifests;
  }

  async resolve(repository: RepositoryKey, tag: Tag): Promise<Target> {
    const known = await this.#known(repository, tag);
    const latest = this.#moves.get(keyOf(repository, tag)) ?? known;
    if (latest && isFresh(latest.checkedAt, this.#ports.tagTtlMs, this.#ports.now())) {
      return { descriptor: latest.descriptor, source: 'hit' };
    }
    return this.#revalidations.run(keyOf(repository, tag), () => this.#revalidate(repository, tag, known));
  }

  async find(repository: RepositoryKey, tag: Tag): Promise<Served<Manifest>> {
    const { descriptor, source, staleBecause } = await this.resolve(repository, tag);
    try {
      const manifest = await this.#manifests.find(repository, descriptor.digest, source);
      return staleBecause ? { ...manifest, staleBecause } : manifest;
    } catch (error) {
      if (!(error instanceof UpstreamError && allowsStale(error))) throw error;
      const held = await this.#heldBy(repository, await this.#known(repository, tag));
      if (!held) throw error;
      return { ...held, source: 'stale', staleBecause: error };
    }
  }

  /** That manifest has come: the tags that have moved to it may leave what they had. */
  async settle(repository: RepositoryKey, digest: Digest): Promise<void> {
    for (const [key, { tag, descriptor }] of this.#moves.entries()) {
      if (descriptor.digest === digest && key === keyOf(repository, tag)) await this.#known(repository, tag);
    }
  }

  /** What the index says, after a move was written into it whose manifest has come meanwhile. */
  async #known(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    const { metadata, remember } = this.#ports;
    const key = keyOf(repository, tag);
    const move = this.#moves.get(key);
    if (!(await this.#heldBy(repository, move))) return metadata.findTag(repository, tag);
    if (move) await remember(metadata.saveTag(repository, move));
    this.#moves.delete(key);
    return move;
  }

  async #revalidate(repository: RepositoryKey, tag: Tag, known: TagRecord | undefined): Promise<Target> {
    const { metadata, now, signal, remember } = this.#ports;
    const held = await this.#heldBy(repository, known);
    let resolved: Resolved | undefined;
    try {
      resolved = await within(held ? BETTER_ANSWER_MS : ANSWER_MS, signal, (until) =>
        this.#upstream.resolve(repository.name, { kind: 'tag', tag }, until),
      );
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (known && allowsStale(error)) return asStale(known, error);
      if (!allowsStale(error)) await this.#forget(repository, tag);
      throw error;
    }
    if (!resolved) {
      await this.#forget(repository, tag);
      throw unknownManifest(tag);
    }
    const { descriptor, manifest } = resolved;
    if (manifest) await this.#manifests.save(repository, manifest);
    const record: TagRecord = { tag, descriptor, checkedAt: now() };
    if (known && held && !(await this.#heldBy(repository, record))) {
      if (this.#upstream.rateLimit?.remaining !== 0) {
        this.#moves.set(keyOf(repository, tag), record);
        return { descriptor, source: 'miss' };
      }
      // Whoever asks by HEAD first (dockerd, containerd) would then want a manifest that we can't get.
      await remember(metadata.saveTag(repository, { ...known, checkedAt: now() }));
      return asStale(
        known,
        new UpstreamError('rate-limited', 'the tag has moved, and no pull is left to follow it'),
      );
    }
    this.#moves.delete(keyOf(repository, tag));
    await remember(metadata.saveTag(repository, record));
    return { descriptor, source: known?.descriptor.digest === descriptor.digest ? 'revalidated' : 'miss' };
  }

  async #forget(repository: RepositoryKey, tag: Tag): Promise<void> {
    this.#moves.delete(keyOf(repository, tag));
    await this.#ports.metadata.forgetTag(repository, tag);
  }

  async #heldBy(repository: RepositoryKey, record: TagRecord | undefined): Promise<Manifest | undefined> {
    return record && this.#ports.metadata.findManifest(repository, record.descriptor.digest);
  }
}

function keyOf(repository: RepositoryKey, tag: Tag): string {
  return `${repository.name}:${tag}`;
}

function asStale({ descriptor }: TagRecord, staleBecause: Error): Target {
  return { descriptor, source: 'stale', staleBecause };
}
