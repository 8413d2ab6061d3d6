/**
 * The program of the thread that moves what was written from the WAL of an index into its file. Each message asks for
 * one pass and is answered when that has ended; `undefined` asks the thread to end.
 */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';

/** What was written during a pass is left behind. The WAL begins anew only where a pass, a shorter one, left nothing. */
const MAX_ROUNDS = 4;

interface Progress {
  readonly busy: number;
  readonly log: number;
  readonly checkpointed: number;
}

const db = new Database(workerData as string, { fileMustExist: true });
// As the other connection has it: the file is synced before the WAL may be written over.
db.pragma('synchronous = NORMAL');
db.pragma('cache_size = 1');
const pass = db.prepare<[], Progress>('PRAGMA wal_checkpoint(PASSIVE)');

function checkpoint(): void {
  let last = -1;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const { busy, log, checkpointed } = pass.get() ?? { busy: 1, log: 0, checkpointed: 0 };
    // Somebody reads what the pass would have to write over, or nothing came of it: later, then.
    if (busy !== 0 || checkpointed === log || checkpointed === last) return;
    last = checkpointed;
  }
}

parentPort?.on('message', (path: string | undefined) => {
  if (path === undefined) {
    db.close();
    parentPort?.close();
    return;
  }
  try {
    checkpoint();
  } catch (error) {
    // A disk that is full or fails now; what is in the WAL is safe there, and the next pass tries again.
    if (!(error instanceof Database.SqliteError)) throw error;
  }
  parentPort?.postMessage('ended');
});
