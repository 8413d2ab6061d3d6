/**
 * The tags of one upstream's repositories. Within its TTL a tag is answered from the cache; after that one HEAD settles
 * it for everybody who waits. A tag that has moved leaves the image that it had only when the new one is here: until
 * then the old one is what can be served if upstream fails.
 */
import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import { tagKey, type PullMetadata, type RepositoryKey, type TagRecord } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { Manifest } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import { UpstreamError, type Resolved, type Upstream } from '../upstream/upstream.ts';
import type { Ask } from './ask.ts';
import { isFresh, whileFresh } from './freshness.ts';
import { unknownManifest, type MirrorManifests, type Target } from './mirror-manifests.ts';
import type { Served } from './repository.ts';
import { allowsStale } from './upstream-failure.ts';

export interface MirrorTagsPorts {
  /** Of which no method fails: what our disk can't do is our problem, not the client's. */
  readonly metadata: PullMetadata;
  readonly ask: Ask;
  readonly now: () => number;
  readonly tagTtlMs: number;
  /** Since upstream last confirmed it, while upstream can't be asked. */
  readonly tagStaleForMs: number;
}

/** Where a tag has moved to. */
interface Move extends TagRecord {
  /** Why the manifest that it has moved to could not be had when somebody last wanted it. */
  readonly missing?: UpstreamError;
}

const MAX_MOVES = 10_000;

export class MirrorTags {
  readonly #ports: MirrorTagsPorts;
  readonly #upstream: Upstream;
  readonly #manifests: MirrorManifests;
  readonly #revalidations = new SingleFlight<string, Target>();
  /** Where tags have moved to, of which the index still has the image before, because the new one is not here yet. */
  readonly #moves = new LRUCache<string, Move>({ max: MAX_MOVES });

  constructor(ports: MirrorTagsPorts, upstream: Upstream, manifests: MirrorManifests) {
    this.#ports = ports;
    this.#upstream = upstream;
    this.#manifests = manifests;
  }

  /** For whoever then asks for that manifest by its digest: it is one that can be had, if there is any. */
  async resolve(repository: RepositoryKey, tag: Tag): Promise<Target> {
    const target = await this.#resolve(repository, tag);
    const move = this.#moves.get(keyOf(repository, tag));
    if (!move?.missing || move.descriptor.digest !== target.descriptor.digest) {
      if (target.source !== 'hit') return target;
      // What a HEAD of upstream said of the manifest may not have been so.
      const held = await this.#ports.metadata.findManifest(repository, target.descriptor.digest);
      return held ? { ...target, descriptor: held.descriptor } : { ...target, validity: undefined };
    }
    const known = await this.#known(repository, tag);
    if (!known || !(await this.#heldBy(repository, known))) return target;
    this.#refuseTooOld(known, move.missing);
    return asStale(known, move.missing);
  }

  async #resolve(repository: RepositoryKey, tag: Tag): Promise<Target> {
    const { tagTtlMs, now } = this.#ports;
    const known = await this.#known(repository, tag);
    const move = this.#moves.get(keyOf(repository, tag));
    const latest = move ?? known;
    if (latest && isFresh(latest.checkedAt, tagTtlMs, now())) {
      const { descriptor, checkedAt } = latest;
      // Of a tag that has moved, what is held and what upstream says differ: that is settled request by request.
      const validity = move
        ? undefined
        : whileFresh(tagKey(repository, tag), descriptor.digest, checkedAt, tagTtlMs);
      return { descriptor, source: 'hit', validity };
    }
    return this.#revalidations.run(keyOf(repository, tag), () => this.#revalidate(repository, tag, known));
  }

  async find(repository: RepositoryKey, tag: Tag): Promise<Served<Manifest>> {
    const { descriptor, source, staleBecause, validity } = await this.#resolve(repository, tag);
    try {
      const manifest = await this.#manifests.find(repository, descriptor.digest, source);
      if (manifest.source === 'hit') return { ...manifest, validity };
      return staleBecause ? { ...manifest, staleBecause } : manifest;
    } catch (error) {
      await this.doubt(repository, descriptor.digest, error);
      if (!(error instanceof UpstreamError && allowsStale(error))) throw error;
      const known = await this.#known(repository, tag);
      const held = await this.#heldBy(repository, known);
      if (!known || !held) throw error;
      this.#refuseTooOld(known, error);
      return { ...held, source: 'stale', staleBecause: error };
    }
  }

  /** That manifest has come: the tags that have moved to it may leave what they had. */
  async settle(repository: RepositoryKey, digest: Digest): Promise<void> {
    for (const [key, { tag, descriptor }] of this.#moves.entries()) {
      if (descriptor.digest === digest && key === keyOf(repository, tag)) await this.#known(repository, tag);
    }
  }

  /**
   * Upstream has said of tags that they point to that manifest. Where it now does not have it, or sends something else,
   * it is asked again the next time; where it fails, the tags stay what they were for those who ask where they point.
   */
  async doubt(repository: RepositoryKey, digest: Digest, error: unknown): Promise<void> {
    const isLie = error instanceof UpstreamError && error.failure === 'protocol';
    const isWrong = isLie || (error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN');
    for (const [key, move] of this.#moves.entries()) {
      if (move.descriptor.digest !== digest || key !== keyOf(repository, move.tag)) continue;
      if (isWrong) this.#moves.delete(key);
      else if (error instanceof UpstreamError && allowsStale(error))
        this.#moves.set(key, { ...move, missing: error });
    }
    if (isWrong) await this.#ports.metadata.unlinkManifest(repository, digest);
  }

  /** What the index says, after a move was written into it whose manifest has come meanwhile. */
  async #known(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    const { metadata } = this.#ports;
    const key = keyOf(repository, tag);
    const move = this.#moves.get(key);
    if (!(await this.#heldBy(repository, move))) {
      const known = await metadata.findTag(repository, tag);
      // Whoever had the tag purged wants upstream to be asked again.
      if (!known) this.#moves.delete(key);
      return known;
    }
    if (move) await metadata.saveTag(repository, move);
    this.#moves.delete(key);
    return move;
  }

  async #revalidate(repository: RepositoryKey, tag: Tag, known: TagRecord | undefined): Promise<Target> {
    const { metadata, ask, now } = this.#ports;
    const held = await this.#heldBy(repository, known);
    let resolved: Resolved | undefined;
    try {
      resolved = await ask(
        'manifest',
        (until) => this.#upstream.resolve(repository.name, { kind: 'tag', tag }, until),
        { hasOlderAnswer: held !== undefined },
      );
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (!allowsStale(error)) await this.#forget(repository, tag);
      else if (known) {
        this.#refuseTooOld(known, error);
        return asStale(known, error);
      }
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
      await metadata.saveTag(repository, { ...known, checkedAt: now() });
      return asStale(
        known,
        new UpstreamError('rate-limited', 'the tag has moved, and no pull is left to follow it'),
      );
    }
    this.#moves.delete(keyOf(repository, tag));
    await metadata.saveTag(repository, record);
    return { descriptor, source: known?.descriptor.digest === descriptor.digest ? 'revalidated' : 'miss' };
  }

  /** @throws UpstreamError where upstream confirmed it longer ago than an answer may be old */
  #refuseTooOld({ checkedAt }: TagRecord, error: UpstreamError): void {
    const { now, tagStaleForMs } = this.#ports;
    // After a rebuild of the index nobody knows when it was confirmed; nor after the clock was set back.
    const isTooOld = checkedAt > 0 && now() - checkedAt >= tagStaleForMs;
    if (error.failure === 'offline' || !isTooOld) return;
    const confirmed = new Date(checkedAt).toISOString();
    throw new UpstreamError(error.failure, `what is cached is too old, last confirmed at ${confirmed}`, {
      cause: error,
      retryAfterSeconds: error.retryAfterSeconds,
    });
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
