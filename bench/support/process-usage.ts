/** What processes cost: processor time and peak memory, as the kernel counts them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Running } from './scenario.ts';

/** proc(5): the times in /proc/PID/stat are in USER_HZ, which is 100 on all that Node.js runs on. */
const TICKS_PER_SECOND = 100;

export interface Usage<T> {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  readonly result: T;
}

/** What `work` costs the server, processes included that it starts or ends meanwhile as far as it waits for them. */
export async function measure<T>(running: Pick<Running, 'pids'>, work: () => Promise<T>): Promise<Usage<T>> {
  resetPeakRss(running.pids());
  const cpuBefore = cpuSeconds(running.pids());
  const begin = performance.now();
  const result = await work();
  const wallSeconds = (performance.now() - begin) / 1000;
  const pids = running.pids();
  return { wallSeconds, cpuSeconds: cpuSeconds(pids) - cpuBefore, peakRssBytes: peakRssBytes(pids), result };
}

/** That process and its descendants, as far as they live. */
export function processTree(pid: number): readonly number[] {
  const children = ifAlive(() =>
    readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    ),
  );
  return children === undefined ? [] : [pid, ...children.flatMap(processTree)];
}

/** User and system time of all their threads, and of their children that have ended. */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const stat = ifAlive(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return stat === undefined ? 0 : ticksOf(stat);
  });
  return sum(ticks) / TICKS_PER_SECOND;
}

/** utime, stime, cutime and cstime of a line of /proc/PID/stat. */
export function ticksOf(stat: string): number {
  // The name of the program is in brackets, and may hold blanks and brackets; `state` is the third field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return sum(fields.slice(11, 15).map(Number));
}

/** The sum of their high-water marks; pages that they share count for each of them. */
export function peakRssBytes(pids: readonly number[]): number {
  const marks = pids.map((pid) => {
    const status = ifAlive(() => readFileSync(`/proc/${pid}/status`, 'utf8')) ?? '';
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  });
  return sum(marks);
}

/** Lets the high-water marks begin anew. */
export function resetPeakRss(pids: readonly number[]): void {
  // proc(5), clear_refs: 5 resets the peak to the present size.
  for (const pid of pids) ifAlive(() => writeFileSync(`/proc/${pid}/clear_refs`, '5'));
}

/** @returns undefined where the process ended before or while it was looked at */
function ifAlive<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
