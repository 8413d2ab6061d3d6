import { readdirSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { expect, describe, it } from 'vitest';
import { migrate, schemaVersion } from '../../../src/metadata/sqlite-migrations.ts';
import { tempDir } from '../../support/temp-dir.ts';

const RELEASED = new URL('../../../src/metadata/migrations/', import.meta.url);
const NEWEST = readdirSync(RELEASED).length;
const numbered = (version: number, name: string) => `${String(version).padStart(4, '0')}-${name}.sql`;

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
    expect(schemaVersion(db.open)).toBe(NEWEST);
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
    migrate(db.open, await withOneMore(directory.path, numbered(NEWEST + 1, 'note'), sql));
    expect(schemaVersion(db.open)).toBe(NEWEST + 1);
    expect(db.open.prepare('SELECT name, note FROM repositories').all()).toEqual([
      { name: 'library/alpine', note: 'none' },
    ]);
  });

  it('brings a database of the first version to the newest, with all that it holds', async () => {
    await using directory = await tempDir();
    await cp(new URL('0001-init.sql', RELEASED), join(directory.path, '0001-init.sql'));
    using db = disposable(new Database(':memory:'));
    migrate(db.open, pathToFileURL(`${directory.path}/`));
    db.open.exec("INSERT INTO blobs VALUES (x'01ab', 5, 7); UPDATE state SET rebuilt = 1");
    migrate(db.open);
    expect(schemaVersion(db.open)).toBe(NEWEST);
    expect(db.open.prepare('SELECT size, used_at FROM blobs').all()).toEqual([{ size: 5, used_at: 7 }]);
    expect(db.open.prepare('SELECT blobs, blob_bytes FROM totals').get()).toEqual({
      blobs: 1,
      blob_bytes: 5,
    });
    for (const table of ['pins', 'traffic_spans', 'traffic_totals']) {
      expect(db.open.prepare(`SELECT * FROM ${table}`).all()).toEqual([]);
    }
    expect(db.open.prepare('SELECT closed, rebuilt FROM state').get()).toEqual({ closed: 1, rebuilt: 1 });
  });

  it('refuses a database of a newer version', () => {
    using db = disposable(new Database(':memory:'));
    db.open.pragma('user_version = 99');
    expect(() => migrate(db.open)).toThrow(`version 99, newer than version ${NEWEST}`);
  });

  it('leaves a database as it was when a migration fails', async () => {
    await using directory = await tempDir();
    using db = disposable(new Database(':memory:'));
    const sql = 'CREATE TABLE half (id INTEGER); CREATE TABLE repositories (id INTEGER);';
    const migrations = await withOneMore(directory.path, numbered(NEWEST + 1, 'broken'), sql);
    expect(() => migrate(db.open, migrations)).toThrow(/already exists/);
    expect(schemaVersion(db.open)).toBe(NEWEST);
    expect(db.open.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'half'").get()).toBeUndefined();
  });

  it('refuses a gap in the numbers', async () => {
    await using directory = await tempDir();
    using db = disposable(new Database(':memory:'));
    const migrations = await withOneMore(directory.path, numbered(NEWEST + 2, 'late'), 'SELECT 1;');
    expect(() => migrate(db.open, migrations)).toThrow(`migration ${NEWEST + 1} is missing`);
  });
});

function disposable(open: Database.Database) {
  return { open, [Symbol.dispose]: () => void open.close() };
}
