import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { expect, describe, it } from 'vitest';
import { migrate, schemaVersion } from '../../../src/metadata/sqlite-migrations.ts';
import { tempDir } from '../../support/temp-dir.ts';

const RELEASED = new URL('../../../src/metadata/migrations/', import.meta.url);

/** The released migrations and one more, in a directory of their own. */
async function withOneMore(directory: string, name: string, sql: string): Promise<URL> {
  await cp(RELEASED, directory, { recursive: true });
  await writeFile(join(directory, name), sql);
  return pathToFileURL(`${directory}/`);
}

describe('migrate', () => {
  it('makes the schema in an empty database, once', () => {
    using db = disposable(new Database(':memory:'));
    migrate(db.open);
    expect(schemaVersion(db.open)).toBe(1);
    db.open.exec("INSERT INTO repositories (upstream, name) VALUES ('docker.io', 'library/alpine')");
    migrate(db.open);
    expect(db.open.prepare('SELECT name FROM repositories').pluck().all()).toEqual(['library/alpine']);
  });

  it('brings an older database forward and keeps what it holds', async () => {
    await using directory = await tempDir();
    using db = disposable(new Database(':memory:'));
    migrate(db.open);
    db.open.exec("INSERT INTO repositories (upstream, name) VALUES ('docker.io', 'library/alpine')");
    const sql = "ALTER TABLE repositories ADD COLUMN note TEXT NOT NULL DEFAULT 'none';";
    migrate(db.open, await withOneMore(directory.path, '0002-note.sql', sql));
    expect(schemaVersion(db.open)).toBe(2);
    expect(db.open.prepare('SELECT name, note FROM repositories').all()).toEqual([
      { name: 'library/alpine', note: 'none' },
    ]);
  });

  it('refuses a database of a newer version', () => {
    using db = disposable(new Database(':memory:'));
    db.open.pragma('user_version = 99');
    expect(() => migrate(db.open)).toThrow(/version 99, newer than version 1/);
  });

  it('leaves a database as it was when a migration fails', async () => {
    await using directory = await tempDir();
    using db = disposable(new Database(':memory:'));
    const sql = 'CREATE TABLE half (id INTEGER); CREATE TABLE repositories (id INTEGER);';
    const migrations = await withOneMore(directory.path, '0002-broken.sql', sql);
    expect(() => migrate(db.open, migrations)).toThrow(/already exists/);
    expect(schemaVersion(db.open)).toBe(1);
    expect(db.open.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'half'").get()).toBeUndefined();
  });

  it('refuses a gap in the numbers', async () => {
    await using directory = await tempDir();
    using db = disposable(new Database(':memory:'));
    const migrations = await withOneMore(directory.path, '0003-late.sql', 'SELECT 1;');
    expect(() => migrate(db.open, migrations)).toThrow(/migration 2 is missing/);
  });
});

function disposable(open: Database.Database) {
  return { open, [Symbol.dispose]: () => void open.close() };
}
