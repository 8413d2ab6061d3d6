/** Opens what lies on disk, in the order in which one needs the other: the lock, blobs, spool, and the index. */
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { BlobStore } from './blobs/blob-store.ts';
import { BufferPool } from './blobs/buffers.ts';
import { DiskBlobStore } from './blobs/disk-blob-store.ts';
import { HotBlobStore } from './blobs/hot-blob-store.ts';
import { Spool } from './blobs/spool.ts';
import { CachedMetadataStore } from './metadata/cached-metadata-store.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import { rebuildIndex } from './metadata/rebuild.ts';
import { RecordDirectory } from './metadata/record-directory.ts';
import { lockDirectory } from './metadata/sqlite-lock.ts';
import { openSqliteMetadataStore } from './metadata/sqlite-metadata-store.ts';

export interface Storage {
  readonly blobs: BlobStore;
  readonly spool: Spool;
  readonly metadata: MetadataStore;
  /** The process that had it before did not close it: rows and files may disagree. */
  readonly wasCutShort: boolean;
  close(): Promise<void>;
}

export interface StorageOptions {
  readonly dataDir: string;
  /** Of manifests, tags and small blobs kept in memory. */
  readonly memoryBytes: number;
  readonly now: () => number;
  readonly log: Logger;
}

const INDEX_FILE = 'index.sqlite';

/** @throws Error where the directory can't be used, or another process uses it */
export async function openStorage({ dataDir, memoryBytes, now, log }: StorageOptions): Promise<Storage> {
  await mkdir(dataDir, { recursive: true });
  const lock = lockDirectory(dataDir);
  try {
    const buffers = new BufferPool();
    const files = await DiskBlobStore.open(join(dataDir, 'blobs'), buffers);
    const spool = await Spool.open(join(dataDir, 'spool'), buffers);
    const records = new RecordDirectory(join(dataDir, 'repositories'), (err) =>
      log.warn({ err }, 'a record of the index could not be written; a rebuild would miss it'),
    );
    const opened = openSqliteMetadataStore({ path: join(dataDir, INDEX_FILE), records, clock: now });
    if (opened.setAside) {
      log.error(
        { err: opened.setAside.reason, path: opened.setAside.path },
        'the index was corrupt; it is set aside',
      );
    }
    if (opened.isNew) {
      const counts = await rebuildIndex(
        opened,
        records,
        files,
        (soFar) => log.info(soFar, 'rebuilding the index'),
        now,
      );
      if (counts.blobs + counts.manifests > 0) log.warn(counts, 'the index was rebuilt from the disk');
    }
    const metadata = new CachedMetadataStore(opened.store, memoryBytes / 2);
    const blobs = new HotBlobStore(files, memoryBytes / 2);
    return {
      blobs,
      spool,
      metadata,
      wasCutShort: !opened.isNew && !opened.wasClean,
      close: async () => {
        await metadata.close();
        await blobs.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
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
