/**
 * Writes the data directory of a cache of so many blobs: the index by the mirror's own statements in large transactions,
 * and, where wanted, files of the right size that take no room, and the index's records.
 */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import type { BlobRecord } from '../../src/metadata/metadata-store.ts';
import { DiskReserve } from '../../src/metadata/disk-reserve.ts';
import { RecordDirectory } from '../../src/metadata/record-directory.ts';
import { SqliteBlobs } from '../../src/metadata/sqlite-blobs.ts';
import { CorruptionMark } from '../../src/metadata/sqlite-corruption.ts';
import { closeDatabase, markRebuilt, openDatabase } from '../../src/metadata/sqlite-database.ts';
import { SqliteManifests } from '../../src/metadata/sqlite-manifests.ts';
import { SqliteRepositories } from '../../src/metadata/sqlite-repositories.ts';
import { SqliteTags } from '../../src/metadata/sqlite-tags.ts';
import { hexOf } from '../../src/oci/digest.ts';
import { linksOf } from '../../src/oci/manifest.ts';
import { CacheContent, type Release } from './content.ts';

export interface GenerateOptions {
  readonly directory: string;
  readonly blobs: number;
  /** Of the size that their rows say, of holes. */
  readonly hasFiles?: boolean;
  readonly hasRecords?: boolean;
  readonly onProgress?: (releases: number, of: number) => void;
}

const RELEASES_PER_TRANSACTION = 2000;

export async function generate(options: GenerateOptions): Promise<CacheContent> {
  const { directory, blobs, hasFiles = false, hasRecords = false, onProgress = () => undefined } = options;
  const content = new CacheContent(blobs);
  const path = join(directory, 'index.sqlite');
  await mkdir(directory, { recursive: true });
  const mark = new CorruptionMark(path);
  const { db } = openDatabase({ path, mark, reserve: new DiskReserve(path), clock: Date.now });
  settle(db);
  const save = saver(db);
  const files = hasFiles ? await BlobFileWriter.in(directory) : undefined;
  const records = hasRecords ? new RecordDirectory(join(directory, 'repositories'), fail) : undefined;
  for (let first = 0; first < content.releases; first += RELEASES_PER_TRANSACTION) {
    const last = Math.min(content.releases, first + RELEASES_PER_TRANSACTION);
    const releases = Array.from({ length: last - first }, (_, at) => content.release(first + at));
    db.transaction(() => releases.forEach(save))();
    for (const release of releases) {
      if (files) for (const { blobs } of release.images) for (const blob of blobs) await files.write(blob);
      if (records) await keep(records, release);
    }
    onProgress(last, content.releases);
  }
  markRebuilt(db);
  db.pragma('locking_mode = NORMAL');
  db.pragma('journal_mode = WAL');
  closeDatabase(db, true);
  return content;
}

/** What is written here can be written again. */
function settle(db: Database): void {
  // Without it, there is no mode without a journal.
  db.unsafeMode();
  db.pragma('journal_mode = OFF');
  db.pragma('synchronous = OFF');
  db.pragma('foreign_keys = OFF');
  db.pragma('locking_mode = EXCLUSIVE');
  db.pragma('cache_size = -4000000');
}

function saver(db: Database): (release: Release) => void {
  const repositories = new SqliteRepositories(db);
  const tags = new SqliteTags(db, repositories);
  const manifests = new SqliteManifests(db, repositories, tags);
  const blobs = new SqliteBlobs(db, repositories);
  return ({ repository, tag, index, images, usedAt }) => {
    for (const image of images) {
      for (const blob of image.blobs) blobs.link(repository, blob, usedAt);
      manifests.save(repository, image.manifest, linksOf(image.manifest), usedAt);
    }
    manifests.save(repository, index, linksOf(index), usedAt);
    tags.save(repository, tag);
  };
}

async function keep(records: RecordDirectory, { repository, tag, index, images }: Release): Promise<void> {
  const commit = () => undefined;
  for (const { manifest, blobs } of images) {
    for (const blob of blobs) await records.add({ kind: 'blob', repository, blob }, commit);
    await records.add({ kind: 'manifest', repository, manifest }, commit);
  }
  await records.add({ kind: 'manifest', repository, manifest: index }, commit);
  await records.add({ kind: 'tag', repository, ...tag }, commit);
}

class BlobFileWriter {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async in(directory: string): Promise<BlobFileWriter> {
    const root = join(directory, 'blobs/v1/sha256');
    for (let shard = 0; shard < 256; shard += 1) {
      await mkdir(join(root, shard.toString(16).padStart(2, '0')), { recursive: true });
    }
    return new BlobFileWriter(root);
  }

  async write({ digest, size }: BlobRecord): Promise<void> {
    const hex = hexOf(digest);
    await using file = await open(join(this.#root, hex.slice(0, 2), hex), 'w');
    await file.truncate(size);
  }
}

function fail(error: Error): never {
  throw error;
}
