/** The blobs of a mirror without HTTP: real spool and index, blobs in memory, and an upstream of a few functions. */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { BufferPool } from '../../src/blobs/buffers.ts';
import { Spool } from '../../src/blobs/spool.ts';
import { FairQueue } from '../../src/lib/fair-queue.ts';
import type { MetadataStore, RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { asker } from '../../src/repository/ask.ts';
import { BlobLeases } from '../../src/repository/blob-leases.ts';
import { CacheSpace } from '../../src/repository/cache-space.ts';
import type { DownloadEvent, DownloadPorts } from '../../src/repository/download.ts';
import { Downloads } from '../../src/repository/downloads.ts';
import { MirrorBlobs } from '../../src/repository/mirror-blobs.ts';
import type { Requester } from '../../src/repository/repository.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';
import { Collector } from './sinks.ts';
import { tempDir } from './temp-dir.ts';

export function repositoryKey(name: string): RepositoryKey {
  return { upstream: 'docker.io', name: parseRepositoryName(name) };
}

/** Has these blobs in every repository. */
export function upstreamOf(contents: ReadonlyMap<Digest, Buffer>, more: Partial<Upstream> = {}): Upstream {
  const refuse = () => Promise.reject(new Error('nobody asks for that here'));
  return {
    name: 'docker.io',
    rateLimit: undefined,
    circuits: [],
    resolve: refuse,
    fetchManifest: refuse,
    statBlob: (_repository, digest) => Promise.resolve({ size: contents.get(digest)?.length }),
    fetchBlob: (_repository, digest) => {
      const bytes = contents.get(digest);
      return Promise.resolve(bytes && { size: bytes.length, offset: 0, body: Readable.from([bytes]) });
    },
    listTags: refuse,
    listReferrers: refuse,
    close: () => Promise.resolve(),
    ...more,
  };
}

export interface BlobMirrorOptions {
  readonly upstream: Upstream;
  readonly limitBytes?: number;
  /** Downloads at once. */
  readonly places?: number;
  /** Of these, for blobs that are not kept. */
  readonly passingPlaces?: number;
  readonly whenAbandoned?: DownloadPorts['whenAbandoned'];
  /** What stands between the index and all others. */
  readonly wrap?: (metadata: MetadataStore) => MetadataStore;
}

export async function openBlobMirror({
  upstream,
  limitBytes = 10_000_000,
  places = 32,
  passingPlaces = places,
  whenAbandoned = 'finish',
  wrap = (store) => store,
}: BlobMirrorOptions) {
  const directory = await tempDir();
  const spool = await Spool.open(join(directory.path, 'spool'), new BufferPool());
  const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.sqlite') });
  const metadata = wrap(store);
  const blobs = new MemoryBlobStore();
  const leases = new BlobLeases();
  const events: DownloadEvent[] = [];
  const space = new CacheSpace({
    metadata,
    blobs,
    leases,
    lowWater: 1,
    limit: () => Promise.resolve(limitBytes),
    freeBytes: () => Promise.resolve(limitBytes),
    flushAccess: () => Promise.resolve(),
  });
  const observe = (event: DownloadEvent) => void events.push(event);
  const pause = () => Promise.resolve();
  const ports: DownloadPorts = {
    ...{ spool, blobs, metadata, space, observe, pause, whenAbandoned },
    now: Date.now,
    places: new FairQueue(places),
    passingPlaces: new FairQueue(passingPlaces),
  };
  const downloads = new Downloads(ports, leases);
  const lost: Digest[] = [];
  const unreadable: Error[] = [];
  const mirror = new MirrorBlobs(
    {
      ...{ metadata, blobs, leases, downloads },
      ask: asker({ signal: new AbortController().signal, pause, onRejected: () => undefined }),
      touch: () => undefined,
      onLost: (digest) => void lost.push(digest),
      onUnreadable: (error) => void unreadable.push(error),
    },
    upstream,
  );
  const dispose = async () => {
    await downloads.close(AbortSignal.abort());
    await store.close();
    await directory[Symbol.asyncDispose]();
  };
  return {
    ...{
      directory: directory.path,
      metadata,
      blobs,
      leases,
      space,
      downloads,
      places: ports.places,
      mirror,
      events,
      lost,
      unreadable,
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Who never leaves. */
export const STAYING: Requester = { client: '192.0.2.1', left: new AbortController().signal };

export async function readAll(
  mirror: MirrorBlobs,
  repository: RepositoryKey,
  digest: Digest,
): Promise<Buffer> {
  const { content } = await mirror.open(repository, digest, STAYING);
  const sink = new Collector();
  try {
    await content.sendTo(sink);
  } finally {
    await content.close();
  }
  return sink.bytes;
}
