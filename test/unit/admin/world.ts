/**
 * The mirror of two upstreams without HTTP, and what can be seen and done of it: real index, spool and repositories,
 * blobs in memory, and upstreams that are a few functions over what was pushed to them.
 */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ConfigReader } from '../../../src/admin/config-reader.ts';
import { MirrorActions, type MirrorActionsOptions } from '../../../src/admin/mirror-actions.ts';
import { MirrorCatalog } from '../../../src/admin/mirror-catalog.ts';
import { ImageNames } from '../../../src/admin/names.ts';
import type { JobView } from '../../../src/admin/views.ts';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { Spool } from '../../../src/blobs/spool.ts';
import { FairQueue } from '../../../src/lib/fair-queue.ts';
import type { RepositoryKey } from '../../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Manifest } from '../../../src/oci/manifest.ts';
import { formatReference, parseRepositoryName } from '../../../src/oci/reference.ts';
import { asker } from '../../../src/repository/ask.ts';
import { BlobLeases } from '../../../src/repository/blob-leases.ts';
import { CacheSpace } from '../../../src/repository/cache-space.ts';
import { Downloads } from '../../../src/repository/downloads.ts';
import { Mirror } from '../../../src/repository/mirror.ts';
import { UpstreamError, type Upstream } from '../../../src/upstream/upstream.ts';
import { descriptorOf, type Pushable } from '../../support/images.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';
import { Collector } from '../../support/sinks.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** An upstream in memory, which notes what is fetched from it. */
export class PushedUpstream {
  readonly name: string;
  readonly fetched: string[] = [];
  readonly #manifests = new Map<string, Manifest>();
  readonly #blobs = new Map<Digest, Uint8Array>();
  /** It does not answer. */
  isDown = false;
  /** Awaited before a blob's body begins. */
  beforeBlob: (digest: Digest, signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  constructor(name: string) {
    this.name = name;
  }

  push(repository: string, pushable: Pushable, ...tags: string[]): void {
    for (const child of pushable.children) this.push(repository, child);
    for (const { digest, bytes } of pushable.blobs) this.#blobs.set(digest, bytes);
    const manifest = { descriptor: descriptorOf(pushable.manifest), bytes: pushable.manifest.bytes };
    for (const reference of [...tags, pushable.manifest.digest]) {
      this.#manifests.set(`${repository} ${reference}`, manifest);
    }
  }

  loseManifest(repository: string, digest: Digest): void {
    this.#manifests.delete(`${repository} ${digest}`);
  }

  loseBlob(digest: Digest): void {
    this.#blobs.delete(digest);
  }

  asUpstream(): Upstream {
    const find = (repository: string, reference: Parameters<typeof formatReference>[0]) =>
      this.#manifests.get(`${repository} ${formatReference(reference)}`);
    const refuse = () => Promise.reject(new UpstreamError('denied', 'nobody asks for that here'));
    return {
      name: this.name,
      rateLimit: undefined,
      circuits: [],
      resolve: (repository, reference) => {
        if (this.isDown) return Promise.reject(new UpstreamError('unreachable', 'it is down'));
        const found = find(repository, reference);
        return Promise.resolve(found && { descriptor: found.descriptor });
      },
      fetchManifest: (repository, reference) => {
        const found = find(repository, reference);
        if (found) this.fetched.push(found.descriptor.digest);
        return Promise.resolve(found);
      },
      statBlob: (_repository, digest) => {
        const bytes = this.#blobs.get(digest);
        return Promise.resolve(bytes && { size: bytes.length });
      },
      fetchBlob: async (_repository, digest, _offset, signal) => {
        await this.beforeBlob(digest, signal);
        const bytes = this.#blobs.get(digest);
        if (bytes) this.fetched.push(digest);
        return bytes && { size: bytes.length, offset: 0, body: Readable.from([Buffer.from(bytes)]) };
      },
      listTags: refuse,
      listReferrers: refuse,
      close: () => Promise.resolve(),
    };
  }
}

export interface WorldOptions extends Partial<MirrorActionsOptions> {
  readonly limitBytes?: number;
}

export async function openWorld({ limitBytes = 10_000_000, ...more }: WorldOptions = {}) {
  const directory = await tempDir();
  const spool = await Spool.open(join(directory.path, 'spool'), new BufferPool());
  const { store: metadata, catalog: store } = openSqliteMetadataStore({
    path: join(directory.path, 'index.sqlite'),
  });
  const blobs = new MemoryBlobStore();
  const leases = new BlobLeases();
  const limits = { bytes: limitBytes };
  const space = new CacheSpace({
    ...{ metadata, blobs, leases, lowWater: 0.9 },
    limit: () => Promise.resolve(limits.bytes),
    freeBytes: () => Promise.resolve(limits.bytes),
    flushAccess: () => Promise.resolve(),
  });
  const pause = () => Promise.resolve();
  const downloads = new Downloads(
    {
      ...{ spool, blobs, metadata, space, pause, now: Date.now, whenAbandoned: 'finish' as const },
      ...{ observe: () => undefined, places: new FairQueue(32), passingPlaces: new FairQueue(16) },
    },
    leases,
  );
  const hub = new PushedUpstream('docker.io');
  const ghcr = new PushedUpstream('ghcr.io');
  const mirrors = [hub, ghcr].map((upstream) => {
    const ports = {
      ...{ metadata, blobs, leases, downloads, space, now: Date.now, tagTtlMs: 0, tagStaleForMs: 1e9 },
      ask: asker({ signal: new AbortController().signal, pause, onRejected: () => undefined }),
      touch: () => undefined,
      onLost: () => undefined,
      onUnreadable: () => undefined,
      onFetched: () => undefined,
    };
    return new Mirror(ports, upstream.asUpstream());
  });
  const names = new ImageNames([
    { upstream: 'docker.io', namespaces: ['docker.io', 'registry-1.docker.io'], impliesLibrary: true },
    { upstream: 'ghcr.io', namespaces: ['ghcr.io'], impliesLibrary: false },
  ]);
  const repositoryOf = ({ upstream, name }: RepositoryKey) =>
    mirrors.find((mirror) => mirror.upstream.name === upstream)!.repository(name);
  const jobEvents: JobView[] = [];
  const waiting = new Set<() => void>();
  const actions = new MirrorActions({
    ...{ names, metadata, catalog: store, space, downloads, repositoryOf, now: Date.now },
    runScrub: () => Promise.resolve(),
    scrubProgress: () =>
      Promise.resolve({
        ...{ isRunning: false, scannedBlobs: 0, scannedBytes: 0, corruptBlobs: 0 },
        lastCompletedAt: undefined,
      }),
    runCheck: () => Promise.resolve(),
    offline: { isOn: false },
    onJob: (job) => {
      jobEvents.push(job);
      for (const wake of waiting) wake();
    },
    ...more,
  });
  const catalog = new MirrorCatalog({
    ...{ store, metadata, names, configs: new ConfigReader(blobs), upstreams: ['docker.io', 'ghcr.io'] },
  });
  const dispose = async () => {
    await actions.close();
    await downloads.close(AbortSignal.abort());
    await metadata.close();
    await directory[Symbol.asyncDispose]();
  };
  return {
    ...{ metadata, blobs, leases, downloads, space, limits, hub, ghcr, names, actions, catalog, jobEvents },
    /** The job when it has ended. */
    ended: async ({ id }: JobView): Promise<JobView> => {
      for (;;) {
        const job = actions.job(id);
        if (job.state !== 'running') return job;
        const { promise, resolve } = Promise.withResolvers<undefined>();
        const wake = () => resolve(undefined);
        waiting.add(wake);
        await promise;
        waiting.delete(wake);
      }
    },
    /** All that a client would get that pulls the reference. */
    pull: async (text: string): Promise<void> => {
      const { repository, reference } = names.parse(text);
      const manifest = await repositoryOf(repository).manifest(reference);
      const { layers = [], config } = JSON.parse(Buffer.from(manifest.bytes).toString()) as {
        layers?: { digest: Digest }[];
        config?: { digest: Digest };
      };
      for (const { digest } of [...(config ? [config] : []), ...layers]) {
        await readBlob(repositoryOf(repository), digest);
        await downloads.find(digest)?.settled;
      }
    },
    repositoryOf: (name: string, upstream = 'docker.io') =>
      repositoryOf({ upstream, name: parseRepositoryName(name) }),
    [Symbol.asyncDispose]: dispose,
  };
}

export type World = Awaited<ReturnType<typeof openWorld>>;

export const CLIENT = { client: '192.0.2.1', left: new AbortController().signal };

export async function readBlob(
  repository: ReturnType<Mirror['repository']>,
  digest: Digest,
): Promise<Buffer> {
  const { content } = await repository.blob(digest, CLIENT);
  const sink = new Collector();
  try {
    await content.sendTo(sink);
  } finally {
    await content.close();
  }
  return sink.bytes;
}
