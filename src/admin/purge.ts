/** Lets go of what is cached: out of the index first, and then the blobs that nobody else holds from the disk. */
import type { CatalogStore } from '../metadata/catalog-store.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Reference } from '../oci/reference.ts';
import type { CacheSpace } from '../repository/cache-space.ts';
import type { PurgeView } from './views.ts';

export interface PurgePorts {
  readonly metadata: Pick<MetadataStore, 'purge'>;
  readonly catalog: Pick<CatalogStore, 'listRepositories'>;
  readonly space: Pick<CacheSpace, 'remove' | 'clear'>;
}

export const NOTHING_PURGED: PurgeView = {
  ...{ freedBytes: 0, tags: 0, manifests: 0, blobs: 0 },
  inUse: { blobs: 0, bytes: 0 },
};

const REPOSITORIES_AT_ONCE = 100;

/** `undefined` where nothing of it is known. */
export async function purgeRepository(
  { metadata, space }: PurgePorts,
  repository: RepositoryKey,
  target: Reference | 'all',
): Promise<PurgeView | undefined> {
  const purged = await metadata.purge(repository, target);
  if (!purged) return undefined;
  const removed = await space.remove(purged.unheld);
  return {
    freedBytes: purged.manifestBytes + removed.bytes,
    tags: purged.tags.length,
    manifests: purged.manifests.length,
    ...{ blobs: removed.blobs, inUse: removed.inUse },
  };
}

/** @param onProgress told what has gone by then */
export async function purgeEverything(
  ports: PurgePorts,
  upstreams: readonly string[],
  signal: AbortSignal,
  onProgress: (soFar: PurgeView) => void,
): Promise<void> {
  let total = NOTHING_PURGED;
  for (const upstream of upstreams) {
    for (let after: string | undefined, isLast = false; !isLast;) {
      const page = await ports.catalog.listRepositories(upstream, after, REPOSITORIES_AT_ONCE);
      for (const { name } of page) {
        signal.throwIfAborted();
        const purged = await purgeRepository(ports, { upstream, name }, 'all');
        if (purged) onProgress((total = sumOf(total, purged)));
      }
      after = page.at(-1)?.name;
      isLast = page.length < REPOSITORIES_AT_ONCE;
    }
  }
  // What is left belongs to no repository that can be named: found after a crash, or of an upstream that is no more.
  const { bytes, blobs, manifests, inUse } = await ports.space.clear(signal);
  // What was in use before may be so no longer, and what still is, it counts too.
  onProgress({ ...sumOf(total, { freedBytes: bytes, tags: 0, manifests, blobs, inUse }), inUse });
  signal.throwIfAborted();
}

function sumOf(a: PurgeView, b: PurgeView): PurgeView {
  return {
    freedBytes: a.freedBytes + b.freedBytes,
    tags: a.tags + b.tags,
    manifests: a.manifests + b.manifests,
    blobs: a.blobs + b.blobs,
    inUse: { blobs: a.inUse.blobs + b.inUse.blobs, bytes: a.inUse.bytes + b.inUse.bytes },
  };
}
