/**
 * Looks through a whole index while it is in use. That takes 1.5 s for a million blobs, 13 s where the disk has to be
 * read, and SQLite can't be interrupted in it: so a process does it, which can be killed. A worker thread can't.
 */
import { execFile } from 'node:child_process';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { CorruptIndexError } from './sqlite-corruption.ts';

const run = promisify(execFile);
/** Beside this file, in src/ as in dist/. */
const PROGRAM = join(import.meta.dirname, `sqlite-check-process${extname(import.meta.filename)}`);

/** Resolves to what is broken. Throws the signal's reason once that is aborted, and when the process is gone. */
export async function findCorruption(
  path: string,
  signal: AbortSignal,
): Promise<CorruptIndexError | undefined> {
  signal.throwIfAborted();
  // None of our environment: it may hold credentials.
  const running = run(process.execPath, [PROGRAM, path], { env: {} });
  const kill = () => void running.child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    const { stdout } = await running;
    return stdout === 'ok' ? undefined : new CorruptIndexError(stdout);
  } catch (cause) {
    signal.throwIfAborted();
    throw new Error(`the index ${path} can't be looked through`, { cause });
  } finally {
    signal.removeEventListener('abort', kill);
  }
}
