/** Measures one generated cache: its index's operations, and the start of a mirror on it. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { measureStart, type Start } from './start.ts';
import type { Timing } from './timing.ts';

export interface IndexScale {
  readonly blobs: number;
  readonly fileBytes: number;
  readonly timings: readonly Timing[];
  /** Of the process that did the operations, when they were done. */
  readonly rssBytes: number;
  readonly starts: { readonly afterEnd: Start; readonly afterKill: Start };
}

const run = promisify(execFile);
const PROGRAM = join(import.meta.dirname, 'operations.ts');

/** @param directory holds `data`, as `generate` made it for so many blobs; what is done there changes it */
export async function measureIndex(directory: string, blobs: number, rounds: number): Promise<IndexScale> {
  const data = join(directory, 'data');
  const fileBytes = (await stat(join(data, 'index.sqlite'))).size;
  const { stdout } = await run(process.execPath, [PROGRAM, data, String(blobs), String(rounds)]);
  const lines = stdout.trim().split('\n');
  const timings = lines.slice(0, -1).map((line) => JSON.parse(line) as Timing);
  const { rssBytes } = JSON.parse(lines.at(-1) ?? '') as { rssBytes: number };
  const afterEnd = await measureStart(directory, 'killed');
  const afterKill = await measureStart(directory, 'killed');
  return { blobs, fileBytes, timings, rssBytes, starts: { afterEnd, afterKill } };
}
