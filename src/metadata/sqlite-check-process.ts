/** The program of the process that looks through an index. It prints what is broken there, or `ok`. */
import { constants, setPriority } from 'node:os';
import Database from 'better-sqlite3';
import { isCorruption } from './sqlite-corruption.ts';

function check(path: string): string {
  const db = new Database(path, { readonly: true });
  try {
    return String(db.pragma('quick_check(1)', { simple: true }));
  } catch (error) {
    if (isCorruption(error)) return error.message;
    throw error;
  } finally {
    db.close();
  }
}

// Whoever is served meanwhile comes first.
setPriority(constants.priority.PRIORITY_LOW);
process.stdout.write(check(process.argv[2] ?? ''));
