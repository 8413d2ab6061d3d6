/** Opens what lies on disk, in the order in which one needs the other: the lock, blobs, spool, and the index. */
import { access, constants, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { BlobStore } from './blobs/blob-store.ts';
import { BufferPool } from './blobs/buffers.ts';
import { DiskBlobStore } from './blobs/disk-blob-store.ts';
import { HotBlobStore } from './blobs/hot-blob-store.ts';
import { Sendfile } from './blobs/sendfile.ts';
import { Spool } from './blobs/spool.ts';
import type { SendfileMode } from './config/config.ts';
import { systemMessage } from './lib/system-message.ts';
import { CachedMetadataStore } from './metadata/cached-metadata-store.ts';
import type { CatalogStore, TrafficHistory } from './metadata/catalog-store.ts';
import type { MetadataStore, ScrubStates } from './metadata/metadata-store.ts';
import { rebuildIndex, type RebuildCounts, type RebuildTarget } from './metadata/rebuild.ts';
import { reconcileIndex, type ReconcileCounts } from './metadata/reconcile.ts';
import { RecordDirectory } from './metadata/record-directory.ts';
import { lockDirectory } from './metadata/sqlite-lock.ts';
import { openSqliteMetadataStore } from './metadata/sqlite-metadata-store.ts';

export interface Storage {
  /** With the small ones in memory, in front of `files`. */
  readonly blobs: BlobStore;
  readonly files: BlobStore;
  readonly spool: Spool;
  readonly metadata: MetadataStore;
  readonly catalog: CatalogStore;
  /** Lost with the index: it can't be made anew from the disk. */
  readonly history: TrafficHistory;
  readonly scrubStates: ScrubStates;
  /** There where the process that had it before did not close it: rows and files may disagree until it has run. */
  readonly reconcile: ((signal: AbortSignal) => Promise<ReconcileCounts>) | undefined;
  /** Looks whether the index is broken; if so, `onCorrupt` hears of it, and this rejects with it. */
  check(signal: AbortSignal): Promise<void>;
  /** To be called now and then: keeps the room that the index needs where the disk is full. */
  restoreReserve(): Promise<boolean>;
  close(): Promise<void>;
}

export interface StorageOptions {
  readonly dataDir: string;
  /** Of manifests, tags and small blobs kept in memory. */
  readonly memoryBytes: number;
  readonly now: () => number;
  readonly log: Logger;
  /** `off` unless given: only who sends to clients has use for it. */
  readonly sendfile?: SendfileMode;
  /** A pull that nothing else fails went on without something that belongs on the disk. */
  readonly onUnwritten: (part: 'index' | 'blobs', error: Error) => void;
  /** The index turns out to be broken while it is in use: nothing that it says can be trusted. */
  readonly onCorrupt: (error: Error) => void;
  /** What answers may rest on is gone or has changed: a digest, a `tagKey`, or without one nobody knows what. */
  readonly onDropped?: (key: string | undefined) => void;
}

const INDEX_FILE = 'index.sqlite';

/** @throws Error where the directory can't be used, or another process uses it */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const { dataDir, memoryBytes, now, log, onUnwritten, onCorrupt, onDropped } = options;
  await makeWritable(dataDir);
  await using opening = new AsyncDisposableStack();
  const lock = lockDirectory(dataDir);
  opening.defer(() => lock.release());
  const sendfile = Sendfile.load(options.sendfile ?? 'off', (err) =>
    log.warn({ err }, 'blobs are copied: what would send them as files does not load'),
  );
  const buffers = new BufferPool({ sendfile });
  const files = await DiskBlobStore.open(join(dataDir, 'blobs'), buffers, (error) =>
    onUnwritten('blobs', error),
  );
  const spool = await Spool.open(join(dataDir, 'spool'), buffers, { now });
  const records = new RecordDirectory(join(dataDir, 'repositories'), (error) => onUnwritten('index', error));
  const path = join(dataDir, INDEX_FILE);
  let corruption: Error | undefined;
  const breaking = (error: Error) => {
    corruption = error;
    onCorrupt(error);
  };
  const opened = openSqliteMetadataStore({ path, records, clock: now, onCorrupt: breaking });
  const metadata = new CachedMetadataStore(opened.store, memoryBytes / 2, onDropped);
  opening.defer(() => metadata.close());
  if (opened.setAside) {
    log.error(
      { err: opened.setAside.reason, path: opened.setAside.path },
      'the index was corrupt; it is set aside',
    );
  }
  if (opened.isNew) await rebuild(opened, records, files, options);
  const blobs = new HotBlobStore(files, memoryBytes / 2, onDropped);
  const reconcile = async (signal: AbortSignal) => {
    const counts = await reconcileIndex(metadata, blobs, now, signal);
    opened.reconciled();
    return counts;
  };
  const isInDoubt = !opened.isNew && !opened.wasClean;
  const open = opening.move();
  return {
    ...{ blobs, files, spool, metadata },
    ...{ catalog: opened.catalog, history: opened.history, scrubStates: opened.scrubStates },
    reconcile: isInDoubt ? reconcile : undefined,
    check: async (signal) => {
      await opened.check(signal);
      if (corruption) throw corruption;
    },
    restoreReserve: () => opened.restoreReserve(),
    close: () => open.disposeAsync(),
  };
}

async function rebuild(
  opened: RebuildTarget,
  records: RecordDirectory,
  files: BlobStore,
  { log, now }: StorageOptions,
): Promise<void> {
  const onProgress = (soFar: RebuildCounts) => {
    // A directory that is new has nothing to tell of.
    if (soFar.blobs + soFar.manifests > 0) log.info(soFar, 'rebuilding the index');
  };
  const counts = await rebuildIndex(opened, records, files, onProgress, now);
  if (counts.blobs + counts.manifests > 0) log.warn(counts, 'the index was rebuilt from the disk');
}

async function makeWritable(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new Error(`the data directory ${directory} can't be used: ${systemMessage(cause)}`, { cause });
  }
}

/** Sets the index aside, so that it is made anew from the disk when the storage is opened the next time. */
export async function setIndexAside(dataDir: string, now: number): Promise<void> {
  const lock = lockDirectory(dataDir);
  try {
    const suffix = `.replaced-${new Date(now).toISOString().replaceAll(':', '-')}`;
    for (const name of await readdir(dataDir)) {
      if (!new RegExp(`^${INDEX_FILE}(-wal|-shm)?$`).test(name)) continue;
      await rename(join(dataDir, name), join(dataDir, name.replace(INDEX_FILE, INDEX_FILE + suffix)));
    }
  } finally {
    lock.release();
  }
}
