/** The blobs of a mirror without HTTP: real spool and index, blobs in memory, and an upstream of a few functions. */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { BufferPool } from '../../src/blobs/buffers.ts';
import { Spool } from '../../src/blobs/spool.ts';
import type { MetadataStore, RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { BlobLeases } from '../../src/repository/blob-leases.ts';
import { CacheSpace } from '../../src/repository/cache-space.ts';
import type { DownloadEvent } from '../../src/repository/download.ts';
import { Downloads } from '../../src/repository/downloads.ts';
import { MirrorBlobs } from '../../src/repository/mirror-blobs.ts';
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
  /** What stands between the index and all others. */
  readonly wrap?: (metadata: MetadataStore) => MetadataStore;
}

export async function openBlobMirror({
  upstream,
  limitBytes = 10_000_000,
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
    flushAccess: () => Promise.resolve(),
  });
  const observe = (event: DownloadEvent) => void events.push(event);
  const pause = () => Promise.resolve();
  const downloads = new Downloads({ spool, blobs, metadata, space, observe, pause }, leases);
  const lost: Digest[] = [];
  const mirror = new MirrorBlobs(
    {
      ...{ metadata, blobs, leases, downloads },
      signal: new AbortController().signal,
      touch: () => undefined,
      onLost: (digest) => void lost.push(digest),
      remember: async (write) => {
        await write;
      },
    },
    upstream,
  );
  const dispose = async () => {
    await downloads.close(AbortSignal.abort());
    await store.close();
    await directory[Symbol.asyncDispose]();
  };
  return {
    ...{ directory: directory.path, metadata, blobs, leases, space, downloads, mirror, events, lost },
    [Symbol.asyncDispose]: dispose,
  };
}

export async function readAll(
  mirror: MirrorBlobs,
  repository: RepositoryKey,
  digest: Digest,
): Promise<Buffer> {
  const { content } = await mirror.open(repository, digest);
  const sink = new Collector();
  try {
    await content.sendTo(sink);
  } finally {
    await content.close();
  }
  return sink.bytes;
}
