/** With workers that are small programs of the test's own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/telemetry/metrics-merge.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { Workers, WorkersError, type WorkersOptions } from '../../../src/workers/workers.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';

let cwd: TempDir;
let running: Workers | undefined;
beforeEach(async () => {
  cwd = await tempDir();
});
afterEach(async () => {
  await running?.close(AbortSignal.abort(), 0);
  running = undefined;
  await cwd[Symbol.asyncDispose]();
});

const READY = `process.on('message', ({ kind }) => {
  if (kind === 'start') process.send({ kind: 'ready' });
  if (kind === 'stop') process.disconnect();
});
process.on('disconnect', () => process.exit());`;

async function start(program: string, more: Partial<WorkersOptions> = {}) {
  const path = join(cwd.path, 'worker.mjs');
  await writeFile(path, program);
  const seen = { lines: [] as string[], lost: [] as number[], replaced: 0 };
  const broken = Promise.withResolvers<Error>();
  const options: WorkersOptions = {
    ...{
      count: 2,
      program: path,
      log: createLogger({ level: 'silent', isPretty: false, destination: new PassThrough() }),
    },
    settings: () => ({
      ...{
        version: '0',
        keeper: { socketPath: '', secret: '' },
        blobsDir: '',
        tls: undefined,
        timeoutMs: 1,
        memoryBytes: 1,
      },
      ...{ sendfile: 'off', logLevel: 'info' },
    }),
    onLost: (worker) => void seen.lost.push(worker),
    onEnded: () => undefined,
    onUsed: () => undefined,
    onRefused: () => undefined,
    onReplaced: () => (seen.replaced += 1),
    onLines: (lines) => void seen.lines.push(lines),
    sumUp: (snapshots) => Promise.resolve(snapshots.flat()),
    onBroken: broken.resolve,
    ...more,
  };
  running = await Workers.start(options);
  return { workers: running, seen, broken: broken.promise };
}

describe('Workers', () => {
  it('are there when all of them are ready', async () => {
    const { workers } = await start(READY);
    expect(workers.ready.map(({ id }) => id).sort()).toEqual([1, 2]);
  });

  it.each([
    ['ends', `process.exit(3);`, 'it ended with code 3'],
    [
      'says why',
      `process.send({ kind: 'failed', reason: 'no such file' }, () => process.exit(1));`,
      'no such file',
    ],
    ['is killed', `process.kill(process.pid, 'SIGKILL');`, 'it ended by SIGKILL'],
  ])('do not start where one %s before it is ready', async (_title, program, reason) => {
    await expect(start(program)).rejects.toThrow(`does not start: ${reason}`);
  });

  it('have another in the place of one that dies, and what that had counted stays', async () => {
    const program = `${READY} process.on('message', ({ kind }) => {
      if (kind === 'measure') process.send({ kind: 'measured', snapshot: [{ of: process.pid }] });
    });`;
    const { workers, seen } = await start(program);
    const [victim] = workers.ready;
    await workers.snapshots();
    victim?.kill();
    await expect.poll(() => seen.replaced, { timeout: 20_000 }).toBe(1);
    // Whichever was ready first.
    const left = [1, 2, 3].filter((id) => id !== victim?.id);
    await expect.poll(() => workers.ready.map(({ id }) => id).sort(), { timeout: 20_000 }).toEqual(left);
    expect(seen.lost).toEqual([victim?.id]);
    const all: Snapshot = (await workers.snapshots()).flat();
    expect(all).toHaveLength(3);
    expect(all).toContainEqual({ of: victim?.pid });
  });

  it('are given up, with the reason, when none can be started any more', async () => {
    const path = join(cwd.path, 'worker.mjs');
    const { workers, broken } = await start(READY);
    await writeFile(path, `process.exit(4);`);
    for (const worker of workers.ready) worker.kill();
    const reason = await broken;
    expect(reason).toBeInstanceOf(WorkersError);
    expect(reason.message).toBe('no worker can be started: it ended with code 4');
  });

  it('that do not answer for their metrics hold up nobody', async () => {
    const { workers } = await start(READY);
    expect(await workers.snapshots()).toEqual([[], [], []]);
  });

  it('are told in one message of all that is dropped together', async () => {
    const program = `${READY} process.on('message', ({ kind, keys }) => {
      if (kind === 'drop') process.stdout.write(JSON.stringify(keys ?? 'all') + '\\n');
    });`;
    const { workers, seen } = await start(program, { count: 1 });
    for (const key of ['a', 'b', 'a']) workers.drop(key);
    await expect.poll(() => seen.lines, { timeout: 20_000 }).toEqual(['["a","b"]\n']);
    for (const key of ['c', undefined]) workers.drop(key);
    await expect.poll(() => seen.lines.at(-1), { timeout: 20_000 }).toBe('"all"\n');
  });

  it('have their lines passed on whole, however they come', async () => {
    const program = `${READY}
      process.stdout.write('one\\ntw');
      setTimeout(() => process.stdout.write('o\\nthree'), 20);
      setTimeout(() => process.stdout.write('\\n'), 40);`;
    const { seen } = await start(program, { count: 1 });
    await expect.poll(() => seen.lines.join(''), { timeout: 20_000 }).toBe('one\ntwo\nthree\n');
    expect(seen.lines.every((lines) => lines.endsWith('\n'))).toBe(true);
  });

  it('that do not stop when they are told are killed after the grace', async () => {
    const program = `process.on('message', ({ kind }) => kind === 'start' && process.send({ kind: 'ready' }));
      process.on('SIGTERM', () => undefined);`;
    const { workers } = await start(program);
    await workers.close(AbortSignal.abort(), 0);
    expect(workers.ready).toEqual([]);
  });
});
