import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  openSqliteMetadataStore,
  type OpenedMetadataStore,
} from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';
import { blobOf, link, repositoryKey } from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const layer = blobOf('layer');

describe('openSqliteMetadataStore', () => {
  let directory: TempDir;
  let path: string;
  let opened: OpenedMetadataStore[];
  beforeEach(async () => {
    directory = await tempDir();
    path = join(directory.path, 'data', 'index.db');
    opened = [];
  });
  afterEach(async () => {
    for (const { store } of opened) await store.close();
    await directory[Symbol.asyncDispose]();
  });

  const open = (at = path) => {
    const one = openSqliteMetadataStore({ path: at, clock: () => Date.UTC(2026, 0, 2, 3, 4, 5) });
    opened.push(one);
    return one;
  };
  /** The files as a process leaves them that is killed now. */
  const killed = async () => {
    const copy = join(directory.path, 'killed');
    await mkdir(copy);
    for (const suffix of ['', '-wal']) await cp(path + suffix, join(copy, `index.db${suffix}`));
    return join(copy, 'index.db');
  };

  it('makes what is missing, and finds it again', async () => {
    const first = open();
    expect(first).toMatchObject({ isNew: true, wasClean: true, setAside: undefined });
    first.rebuilt();
    await link(first.store, ALPINE, layer);
    await first.store.close();
    const second = open();
    expect(second).toMatchObject({ isNew: false, wasClean: true, setAside: undefined });
    expect(await second.store.findBlob(ALPINE, layer.digest)).toEqual(layer);
  });

  it('says that the index is new until a rebuild has ended', async () => {
    const first = open();
    await link(first.store, ALPINE, layer);
    await first.store.close();
    expect(open().isNew).toBe(true);
  });

  it('tells that the last process did not close the index, and loses nothing', async () => {
    const first = open();
    first.rebuilt();
    await link(first.store, ALPINE, layer);
    const second = open(await killed());
    expect(second).toMatchObject({ isNew: false, wasClean: false, setAside: undefined });
    expect(await second.store.findBlob(ALPINE, layer.digest)).toEqual(layer);
  });

  it('calls no closing after that clean until the file was looked through, and rows and files agree', async () => {
    open().rebuilt();
    const at = await killed();
    const signal = new AbortController().signal;
    const steps: ((opened: OpenedMetadataStore) => Promise<void> | void)[] = [
      () => undefined,
      (opened) => opened.reconciled(),
      (opened) => opened.check(signal),
      async (opened) => {
        await opened.check(signal);
        opened.reconciled();
      },
    ];
    for (const step of steps) {
      const opened = open(at);
      expect(opened.wasClean).toBe(false);
      await step(opened);
      await opened.store.close();
    }
    expect(open(at).wasClean).toBe(true);
  });

  it('calls no closing clean after a write that failed', async () => {
    const first = open();
    first.rebuilt();
    // A row that the schema has no room for.
    await expect(first.store.recordFound([{ ...layer, size: 0.5 }], 1)).rejects.toThrow();
    await first.store.close();
    expect(open().wasClean).toBe(false);
  });

  it('may be closed twice', async () => {
    const { store } = open();
    await store.close();
    await store.close();
    expect(open().wasClean).toBe(true);
  });

  it('keeps its settings', async () => {
    await open().store.close();
    using db = disposable(new Database(path, { readonly: true }));
    expect(db.open.pragma('journal_mode', { simple: true })).toBe('wal');
  });

  it('sets a file aside that is no database', async () => {
    await mkdir(join(directory.path, 'data'));
    await writeFile(path, 'this is no database, although it is long enough to be looked into. '.repeat(100));
    const { store, isNew, setAside } = open();
    expect(isNew).toBe(true);
    expect(setAside?.path).toBe(`${path}.corrupt-2026-01-02T03-04-05.000Z`);
    expect(setAside?.reason.message).toMatch(/not a database/);
    expect(await readFile(setAside!.path, 'utf8')).toMatch(/^this is no database/);
    await link(store, ALPINE, layer);
    expect(await store.findBlob(ALPINE, layer.digest)).toEqual(layer);
  });

  it('refuses the file of a newer version, and leaves it as it is', async () => {
    await open().store.close();
    const db = new Database(path);
    db.pragma('user_version = 7');
    db.close();
    expect(() => open()).toThrow(/index\.db can't be opened: its schema has version 7, newer than/);
    using again = disposable(new Database(path, { readonly: true }));
    expect(again.open.pragma('user_version', { simple: true })).toBe(7);
    expect(await readdir(join(directory.path, 'data'))).not.toContainEqual(
      expect.stringContaining('corrupt'),
    );
  });

  it('says which file it was that could not be opened', async () => {
    await mkdir(path, { recursive: true });
    expect(() => open()).toThrow(/index\.db can't be opened: unable to open database file/);
  });
});

function disposable(open: Database.Database) {
  return { open, [Symbol.dispose]: () => void open.close() };
}
