/** With a worker that is a small program of the test's own. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type { WorkerSettings } from '../../../src/workers/messages.ts';
import { WorkerProcess } from '../../../src/workers/worker-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

const CLIENTS = 10;
const PROGRAM = `process.on('message', ({ kind }) => kind === 'start' && process.send({ kind: 'ready' }));`;
const nothing = () => undefined;

it('leaves no connection open that was on its way to a worker that dies', async () => {
  await using cwd = await tempDir();
  const path = join(cwd.path, 'worker.mjs');
  await writeFile(path, PROGRAM);
  const events = { onEnded: nothing, onUsed: nothing, onRefused: nothing, onLines: nothing };
  const worker = new WorkerProcess(path, { id: 1 } as WorkerSettings, events);
  await worker.ready;
  const server = createServer({ pauseOnConnect: true }, (socket) => worker.take(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  // It takes nothing any more: one connection is on its way, and the others wait for that one to have come.
  process.kill(worker.pid ?? 0, 'SIGSTOP');
  let closed = 0;
  for (let count = 0; count < CLIENTS; count += 1) {
    const client = connect((server.address() as AddressInfo).port).resume();
    client.on('error', nothing).once('close', () => (closed += 1));
  }
  await expect.poll(() => worker.connections, { timeout: 20_000 }).toBe(CLIENTS);
  worker.kill();
  await worker.exited;
  await expect.poll(() => closed, { timeout: 20_000 }).toBe(CLIENTS);
  server.close();
});

it('tells a worker nothing of our own settings by its environment', async () => {
  await using cwd = await tempDir();
  const path = join(cwd.path, 'worker.mjs');
  await writeFile(path, `console.log(Object.keys(process.env).join(' '));`);
  vi.stubEnv('ENTREPOT_UPSTREAM_PASSWORD', 'secret');
  vi.stubEnv('OF_THE_SYSTEM', 'yes');
  let lines = '';
  const onLines = (more: string) => void (lines += more);
  const events = { onEnded: nothing, onUsed: nothing, onRefused: nothing, onLines };
  const worker = new WorkerProcess(path, { id: 1 } as WorkerSettings, events);
  worker.ready.catch(nothing);
  await worker.exited;
  vi.unstubAllEnvs();
  expect(lines).toContain('OF_THE_SYSTEM');
  expect(lines).not.toContain('ENTREPOT_');
});
