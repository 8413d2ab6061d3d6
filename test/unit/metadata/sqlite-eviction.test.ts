import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { RecordDirectory } from '../../../src/metadata/record-directory.ts';
import { SqliteBlobs } from '../../../src/metadata/sqlite-blobs.ts';
import { evictionOf, SqliteEviction, type Eviction } from '../../../src/metadata/sqlite-eviction.ts';
import { SqliteManifests } from '../../../src/metadata/sqlite-manifests.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { migrate } from '../../../src/metadata/sqlite-migrations.ts';
import { SqliteRepositories } from '../../../src/metadata/sqlite-repositories.ts';
import { SqliteTags } from '../../../src/metadata/sqlite-tags.ts';
import { linksOf } from '../../../src/oci/manifest.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { blobOf, collect, digest, imageOf, link, repositoryKey, save, tagRecord } from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const BASE = blobOf('base');

/** An index of so many images on one base, and others that have nothing to do with them. */
function openIndex({ images, others = 0 }: { readonly images: number; readonly others?: number }) {
  const db = new Database(':memory:');
  db.pragma('foreign_keys = ON');
  migrate(db);
  const repositories = new SqliteRepositories(db);
  const tags = new SqliteTags(db, repositories);
  const manifests = new SqliteManifests(db, repositories, tags);
  const blobs = new SqliteBlobs(db, repositories);
  const add = (name: string, layers: readonly ReturnType<typeof blobOf>[]) => {
    const image = imageOf(layers, { note: name });
    for (const layer of layers) blobs.link(ALPINE, layer, 1);
    manifests.save(ALPINE, image, linksOf(image), 1);
    tags.save(ALPINE, tagRecord(name, image));
    return image;
  };
  const all = Array.from({ length: images }, (_, n) => add(`image-${n}`, [BASE, blobOf(`own ${n}`)]));
  for (let n = 0; n < others; n += 1) add(`other-${n}`, [blobOf(`other ${n}`), blobOf('other base')]);
  return { db, blobs, manifests, eviction: new SqliteEviction(db, manifests, blobs), images: all };
}

/** With those that triggers and foreign keys write. */
function rowsWritten(db: Database.Database): number {
  return db.prepare<[], { n: number }>('SELECT total_changes() AS n').get()!.n;
}

function evictAll(
  { db, eviction }: ReturnType<typeof openIndex>,
  candidate: Parameters<typeof evictionOf>[0],
) {
  const parts: number[] = [];
  for (let rest: Eviction | undefined = evictionOf(candidate); rest;) {
    const before = rowsWritten(db);
    ({ rest } = eviction.evictPart(rest));
    parts.push(rowsWritten(db) - before);
  }
  return parts;
}

describe('SqliteEviction', () => {
  it('writes as many rows for one candidate, however many others there are', () => {
    const candidates = [
      { kind: 'blob', digest: BASE.digest },
      { kind: 'manifest', digest: digest(imageOf([BASE, blobOf('own 0')], { note: 'image-0' })) },
    ] as const;
    for (const candidate of candidates) {
      const alone = evictAll(openIndex({ images: 3 }), candidate);
      const amongMany = evictAll(openIndex({ images: 3, others: 300 }), candidate);
      expect(amongMany).toEqual(alone);
      expect(alone).toHaveLength(1);
    }
  });

  it('takes out what many need in parts of which none is larger than the others', () => {
    const parts = evictAll(openIndex({ images: 80 }), { kind: 'blob', digest: BASE.digest });
    expect(parts.length).toBeGreaterThan(8);
    expect(Math.max(...parts)).toBeLessThan(12 * 8);
    const twice = evictAll(openIndex({ images: 160 }), { kind: 'blob', digest: BASE.digest });
    expect(Math.max(...twice)).toBe(Math.max(...parts));
  });

  it('keeps the blob until the last manifest that needs it has gone', () => {
    const { eviction, blobs, manifests, images } = openIndex({ images: 30 });
    let left = images.length;
    for (let rest: Eviction | undefined = evictionOf({ kind: 'blob', digest: BASE.digest }); rest;) {
      expect(blobs.isKnown(BASE.digest)).toBe(true);
      const part = eviction.evictPart(rest);
      left -= part.manifests.length;
      const known = images.filter((image) => manifests.findDescriptor(digest(image)));
      expect(known).toHaveLength(left);
      rest = part.rest;
    }
    expect([left, blobs.isKnown(BASE.digest)]).toEqual([0, false]);
  });

  it('may do a part again that was rolled back', () => {
    const { db, eviction } = openIndex({ images: 30 });
    const first = eviction.evictPart(evictionOf({ kind: 'blob', digest: BASE.digest }));
    const again: (typeof first)[] = [];
    const attempt = db.transaction(() => {
      again.push(eviction.evictPart(first.rest!));
      throw new Error('the disk is full');
    });
    expect(attempt).toThrow('the disk is full');
    expect(eviction.evictPart(first.rest!)).toEqual(again[0]);
  });

  it('takes manifests with it that came while it was under way', () => {
    const { eviction, manifests, blobs } = openIndex({ images: 10 });
    const first = eviction.evictPart(evictionOf({ kind: 'blob', digest: BASE.digest }));
    const late = imageOf([BASE], { note: 'late' });
    manifests.save(ALPINE, late, linksOf(late), 2);
    for (let { rest } = first; rest;) ({ rest } = eviction.evictPart(rest));
    expect([manifests.findDescriptor(digest(late)), blobs.isKnown(BASE.digest)]).toEqual([undefined, false]);
  });
});

describe('an eviction in many parts', () => {
  it('leaves no record of what has gone', async () => {
    await using directory = await tempDir();
    const records = new RecordDirectory(join(directory.path, 'records'), (error) => {
      throw error;
    });
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    const images = Array.from({ length: 20 }, (_, n) => imageOf([BASE], { note: String(n) }));
    await save(store, ALPINE, ...images);
    for (const [n, image] of images.entries()) await store.saveTag(ALPINE, tagRecord(`v${n}`, image));
    for (let n = 0; n < 60; n += 1) await link(store, repositoryKey(`repository-${n}`), BASE);
    await store.evict({ kind: 'blob', digest: BASE.digest });
    expect(await collect(records.list())).toEqual([]);
    await store.close();
  });
});
