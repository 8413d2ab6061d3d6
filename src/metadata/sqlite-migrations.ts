/** Brings a database to the newest schema: the numbered SQL files of `migrations/`, each in a transaction of its own. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Database } from 'better-sqlite3';

/** Beside this file, in src/ as in dist/. */
const MIGRATIONS = new URL('./migrations/', import.meta.url);

/** The number of the newest migration that the database has had; 0 for a new one. */
export function schemaVersion(db: Database): number {
  return db.pragma('user_version', { simple: true }) as number;
}

export function migrate(db: Database, directory: URL = MIGRATIONS): void {
  const files = readdirSync(directory)
    .filter((file) => /^\d{4}-.*\.sql$/.test(file))
    .sort();
  if (schemaVersion(db) > files.length) {
    throw new Error(
      `its schema has version ${schemaVersion(db)}, newer than version ${files.length} of this program`,
    );
  }
  for (const [index, file] of files.entries()) {
    const version = index + 1;
    if (Number(file.slice(0, 4)) !== version)
      throw new Error(`migration ${version} is missing: found ${file}`);
    const sql = readFileSync(new URL(file, directory), 'utf8');
    db.transaction(() => {
      // Asked inside the transaction: another process may have opened the same file.
      if (schemaVersion(db) >= version) return;
      db.exec(sql);
      db.pragma(`user_version = ${version}`);
    }).immediate();
  }
}
