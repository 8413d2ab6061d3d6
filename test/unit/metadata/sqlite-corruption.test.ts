import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  openSqliteMetadataStore,
  type OpenedMetadataStore,
} from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';
import { blobOf, digest, imageOf, indexOf, link, manyBlobs, repositoryKey, save } from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const PAGE = 4096;
const layer = blobOf('layer');
const image = imageOf([layer]);

let directory: TempDir;
let path: string;
let opened: OpenedMetadataStore[];
let reports: Error[];

beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, 'index.sqlite');
  opened = [];
  reports = [];
});

afterEach(async () => {
  for (const { store } of opened) await store.close();
  await directory[Symbol.asyncDispose]();
});

function open(): OpenedMetadataStore {
  const one = openSqliteMetadataStore({
    path,
    clock: () => Date.UTC(2026, 0, 2, 3, 4, 5),
    onCorrupt: (error) => void reports.push(error),
  });
  opened.push(one);
  return one;
}

/** Many rows, of which most pages hold something else now; the schema, in the first ones, is whole. */
async function broken(): Promise<void> {
  const first = open();
  first.rebuilt();
  await first.store.recordFound(manyBlobs(5000), 1);
  await first.store.close();
  const bytes = await readFile(path);
  bytes.fill(0xa5, 60 * PAGE);
  await writeFile(path, bytes);
}

function change(sql: string, ...values: unknown[]): void {
  const db = new Database(path);
  db.prepare(sql).run(...values);
  db.close();
}

async function walk({ store }: OpenedMetadataStore): Promise<void> {
  for await (const blob of store.listBlobs()) expect(blob.size).toBeGreaterThanOrEqual(0);
}

describe('an index that turns out to be broken while it is in use', () => {
  it('is told once, and set aside at the next opening with the reason', async () => {
    await broken();
    const second = open();
    expect(second.setAside).toBeUndefined();
    await expect(walk(second)).rejects.toThrow(/malformed/);
    await expect(walk(second)).rejects.toThrow(/malformed/);
    expect(reports.map(({ message }) => message)).toEqual(['database disk image is malformed']);
    await second.store.close();

    const third = open();
    expect(third).toMatchObject({ isNew: true, wasClean: true });
    expect(third.setAside?.path).toBe(`${path}.corrupt-2026-01-02T03-04-05.000Z`);
    expect(third.setAside?.reason.message).toBe('database disk image is malformed');
    expect(existsSync(third.setAside!.path)).toBe(true);
    expect(await third.store.totals()).toMatchObject({ blobs: 0 });
    third.rebuilt();
    await third.store.close();
    expect(open()).toMatchObject({ isNew: false, wasClean: true, setAside: undefined });
  });

  it('is noticed by a write as by a read', async () => {
    await broken();
    await expect(open().store.recordFound(manyBlobs(5000), 1)).rejects.toThrow(/malformed/);
    expect(reports).toHaveLength(1);
  });

  it.each([
    ['get', () => digest(image)],
    ['list among referrers', () => digest(imageOf([layer], { subject: image }))],
  ])('is noticed when the bytes of a manifest have changed that it is to %s', async (what, of) => {
    const first = open();
    await save(first.store, ALPINE, image, imageOf([layer], { subject: image }));
    await first.store.close();
    const key = Buffer.from(`01${of().slice('sha256:'.length)}`, 'hex');
    const changed = "CAST(replace(CAST(bytes AS TEXT), 'layers', 'lawyer') AS BLOB)";
    change(`UPDATE manifest_bytes SET bytes = ${changed} WHERE digest = ?`, key);
    const { store } = open();
    const asked =
      what === 'get' ? store.findManifest(ALPINE, of()) : store.listReferrers(ALPINE, digest(image));
    await expect(asked).rejects.toThrow(`a manifest that is not ${of()}`);
    expect(reports).toHaveLength(1);
  });

  it.each([
    ['its totals', 'DELETE FROM totals', /lost its totals/],
    ['a whole digest', "UPDATE blobs SET digest = x'01ff'", /broken digest/],
  ])('is noticed when it has not %s any more', async (_title, sql, message) => {
    const first = open();
    await first.store.recordFound([layer], 1);
    await first.store.close();
    change(sql);
    const second = open();
    await expect(Promise.all([second.store.totals(), walk(second)])).rejects.toThrow(message);
    expect(reports).toHaveLength(1);
    await second.store.close();
    expect(open().setAside?.reason.message).toMatch(message);
  });

  it('is not taken for broken where it is only closed, or asked for the impossible', async () => {
    const { store } = open();
    await expect(store.recordFound([{ ...layer, size: 0.5 }], 1)).rejects.toThrow();
    await store.close();
    await expect(store.totals()).rejects.toThrow();
    expect(reports).toEqual([]);
    expect(existsSync(`${path}.corrupt`)).toBe(false);
  });

  it('is told, and never closed as clean, where it can not be marked', async () => {
    await broken();
    const second = open();
    await mkdir(`${path}.corrupt`);
    await expect(walk(second)).rejects.toThrow(/malformed/);
    expect(reports[0]?.message).toMatch(/is corrupt \(.*malformed\) and can't be marked so/);
    expect(reports[0]?.cause).toMatchObject({ code: 'EISDIR' });
    await second.store.close();
    await rmdir(`${path}.corrupt`);
    expect(open().wasClean).toBe(false);
  });

  it('leaves a mark that harms no other index', async () => {
    await broken();
    const second = open();
    await expect(walk(second)).rejects.toThrow();
    await second.store.close();
    await rename(path, `${path}.moved`);
    expect(open()).toMatchObject({ isNew: true, setAside: undefined });
    expect(existsSync(`${path}.corrupt`)).toBe(false);
  });
});

describe('looking through an index after a process that did not close it', () => {
  const signal = new AbortController().signal;
  /** As a crash leaves it: opened and not closed. */
  const unclosed = () => change('UPDATE state SET closed = 0');

  it('finds nothing in one that is whole, while it is in use', async () => {
    const first = open();
    await link(first.store, ALPINE, layer);
    await save(first.store, ALPINE, image, indexOf([image]));
    await first.store.close();
    unclosed();
    const second = open();
    const checked = second.check(signal);
    await second.store.recordFound(manyBlobs(500), 1);
    await checked;
    expect(reports).toEqual([]);
    expect(await second.store.totals()).toMatchObject({ blobs: 501 });
  });

  it('finds what no question has met yet, and has the index set aside', async () => {
    await broken();
    unclosed();
    const second = open();
    expect(second).toMatchObject({ wasClean: false, setAside: undefined });
    await second.check(signal);
    expect(reports).toHaveLength(1);
    await second.store.close();
    const third = open();
    expect(third.setAside?.reason.message).toBe(reports[0]?.message);
    expect(third.isNew).toBe(true);
  });

  it('ends at once when it is aborted, with its process', async () => {
    await broken();
    unclosed();
    const second = open();
    const abort = new AbortController();
    const checked = second.check(abort.signal);
    abort.abort(new Error('stopping'));
    await expect(checked).rejects.toThrow('stopping');
    await expect(second.check(abort.signal)).rejects.toThrow('stopping');
    expect(reports).toEqual([]);
    await vi.waitFor(() => expect(process.getActiveResourcesInfo()).not.toContain('ProcessWrap'));
  });

  it('says so where it can not be done', async () => {
    const first = open();
    await rename(path, `${path}.moved`);
    await expect(first.check(signal)).rejects.toThrow(/index\.sqlite can't be looked through/);
    expect(reports).toEqual([]);
  });
});
