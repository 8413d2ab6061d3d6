/**
 * One reference of a prefetch: its manifests are asked for as a client would that pulls it, and their blobs read to
 * the end. What fails fails the reference, and keeps nothing else of it from coming.
 */
import { Writable } from 'node:stream';
import { forEachAtOnce } from '../lib/at-once.ts';
import type { FairQueue } from '../lib/fair-queue.ts';
import { untilAborted } from '../lib/single-flight.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { partsOf, type Child, type Part } from '../oci/manifest-parts.ts';
import { formatPlatform, isOfNoPlatform, selectPlatform, type Platform } from '../oci/platform.ts';
import type { Reference } from '../oci/reference.ts';
import type { Downloads } from '../repository/downloads.ts';
import type { Repository } from '../repository/repository.ts';
import type { ImageName } from './names.ts';
import type { PrefetchBlobView, PrefetchView } from './views.ts';

export interface PrefetchPorts {
  readonly repositoryOf: (key: RepositoryKey) => Repository;
  readonly metadata: Pick<MetadataStore, 'findBlob'>;
  readonly downloads: Pick<Downloads, 'find'>;
  /** Of all prefetches together: however many there are, they leave room for clients. */
  readonly places: FairQueue;
}

export interface WantedReference {
  readonly text: string;
  readonly name: ImageName;
  readonly platforms: readonly Platform[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Blob = Mutable<PrefetchBlobView> & { readonly digest: Digest };

/** What its downloads queue under: one client among the others. */
const CLIENT = 'prefetch';
const BLOBS_AT_ONCE = 3;

export class PrefetchedReference {
  readonly #ports: PrefetchPorts;
  readonly #wanted: WantedReference;
  readonly #repository: Repository;
  readonly #blobs = new Map<Digest, Blob>();
  readonly #seen = new Set<Digest>();
  readonly #faults = new Set<string>();
  #state: PrefetchView['state'] = 'waiting';
  #digest: Digest | undefined;

  constructor(ports: PrefetchPorts, wanted: WantedReference) {
    this.#ports = ports;
    this.#wanted = wanted;
    this.#repository = ports.repositoryOf(wanted.name.repository);
  }

  get view(): PrefetchView {
    const [error, ...others] = this.#faults;
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    return {
      ...{ reference: this.#wanted.text, state: this.#state },
      ...(error === undefined ? {} : { error: `${error}${more}` }),
      ...(this.#digest === undefined ? {} : { digest: this.#digest }),
      blobs: [...this.#blobs.values()].map((blob) => ({ ...blob })),
    };
  }

  /** Never rejects: what went wrong is in the view. */
  async fetch(signal: AbortSignal): Promise<void> {
    this.#state = 'running';
    await this.#noting(signal, () => this.#walk(this.#wanted.name.reference, undefined, signal));
    const blobs = [...this.#blobs.values()];
    await forEachAtOnce(blobs, BLOBS_AT_ONCE, async (blob) => {
      const hasCome = await this.#noting(signal, () => this.#fetchBlob(blob, signal));
      if (!hasCome) blob.state = 'failed';
    });
    this.#state = this.#faults.size === 0 ? 'done' : 'failed';
  }

  /** The manifest, and those of an index that are wanted; notes the blobs that they need. */
  async #walk(reference: Reference, platform: string | undefined, signal: AbortSignal): Promise<void> {
    const manifest = await this.#inPlace(signal, () =>
      untilAborted(this.#repository.manifest(reference), signal),
    );
    const { digest } = manifest.descriptor;
    this.#digest ??= digest;
    this.#seen.add(digest);
    if (manifest.staleBecause) {
      this.#faults.add(`upstream could not be asked, and what is cached of it may be old`);
    }
    const { config, layers, manifests } = partsOf(manifest);
    for (const part of config ? [config, ...layers] : layers) this.#want(part, platform);
    for (const child of this.#chosen(manifests)) {
      if (this.#seen.has(child.digest)) continue;
      const own = child.platform ? formatPlatform(child.platform) : platform;
      await this.#noting(signal, () => this.#walk({ kind: 'digest', digest: child.digest }, own, signal));
    }
  }

  #want({ digest, size, isForeign }: Part, platform: string | undefined): void {
    if (isForeign || this.#blobs.has(digest)) return;
    const blob = { digest, size, bytes: 0, state: 'waiting' } as const;
    this.#blobs.set(digest, platform === undefined ? { ...blob } : { ...blob, platform });
  }

  #chosen(children: readonly Child[]): ReadonlySet<Child> {
    const offered = children.filter(({ platform }) => !platform || !isOfNoPlatform(platform));
    const { platforms } = this.#wanted;
    if (platforms.length === 0 || offered.length === 0) return new Set(offered);
    // It may be an index in the index, or somebody has not said.
    const unsaid = offered.filter(({ platform }) => !platform);
    const chosen = platforms.flatMap((platform) => {
      const selected = selectPlatform(offered, platform);
      if (selected.length === 0 && unsaid.length === 0) {
        const has = offered.flatMap((child) => (child.platform ? formatPlatform(child.platform) : []));
        this.#faults.add(`it has no ${formatPlatform(platform)}, but ${[...new Set(has)].join(', ')}`);
      }
      return selected;
    });
    return new Set([...chosen, ...unsaid]);
  }

  async #fetchBlob(blob: Blob, signal: AbortSignal): Promise<void> {
    await this.#inPlace(signal, async () => {
      blob.state = 'running';
      const { content, source } = await this.#repository.blob(blob.digest, { client: CLIENT, left: signal });
      try {
        if (source === 'hit' || source === 'revalidated') {
          blob.bytes = blob.size;
          blob.state = 'present';
          return;
        }
        using counter = countingSink(signal, (bytes) => void (blob.bytes += bytes));
        await content.sendTo(counter.sink);
      } finally {
        await content.close();
      }
      blob.state = (await this.#isKept(blob.digest)) ? 'done' : 'uncached';
    });
  }

  /** Its last byte is given out before it is in the store. */
  async #isKept(digest: Digest): Promise<boolean> {
    const { downloads, metadata } = this.#ports;
    await downloads.find(digest)?.settled;
    return (await metadata.findBlob(this.#wanted.name.repository, digest)) !== undefined;
  }

  async #inPlace<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    using _place = await this.#ports.places.enter(CLIENT, signal);
    return await work();
  }

  /** Resolves to whether it was done; a fault is written down, for the others go on. */
  async #noting(signal: AbortSignal, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#faults.add(((signal.aborted ? signal.reason : error) as Error).message);
      return false;
    }
  }
}

/** Takes all and keeps nothing; closes when the signal aborts, which ends what is sent to it. */
function countingSink(signal: AbortSignal, onBytes: (bytes: number) => void) {
  signal.throwIfAborted();
  const sink = new Writable({
    write: (chunk: Uint8Array, _encoding, done) => {
      onBytes(chunk.length);
      done();
    },
  });
  // Without an error, which nobody listens for: whoever sends to it learns that it has closed.
  const stop = () => void sink.destroy();
  signal.addEventListener('abort', stop, { once: true });
  return { sink, [Symbol.dispose]: () => signal.removeEventListener('abort', stop) };
}
