/** A worker's process, with the test in the place of its keeper. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import type { PemPair, ToWorker, WorkerSettings } from '../../src/workers/messages.ts';
import { tempDir } from '../support/temp-dir.ts';

const PAIRS = join(import.meta.dirname, '../support/tls');
const WORKER = join(import.meta.dirname, '../../src/worker.ts');

function pairOf(name: string): PemPair {
  const read = (kind: string) => readFileSync(join(PAIRS, `${name}.${kind}`), 'utf8');
  return { cert: read('crt'), key: read('key') };
}

it('a worker has the certificate that came while it was starting', async () => {
  await using cwd = await tempDir();
  const [before, after] = [pairOf('a'), pairOf('b')];
  const settings: WorkerSettings = {
    ...{ id: 1, version: '0', keeper: { socketPath: '', secret: '' }, blobsDir: cwd.path, tls: before },
    ...{ timeoutMs: 1000, memoryBytes: 1, sendfile: 'off', logLevel: 'silent' },
  };
  const worker = fork(WORKER, []);
  const tell = (message: ToWorker) => worker.send(message);
  tell({ kind: 'start', settings });
  tell({ kind: 'tls', tls: after });
  await once(worker, 'message');
  const server = createServer({ pauseOnConnect: true }, (socket) =>
    worker.send({ kind: 'connection' } satisfies ToWorker, socket),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false });
  await once(client, 'secureConnect');
  expect(client.getPeerX509Certificate()?.fingerprint256).toBe(
    new X509Certificate(after.cert).fingerprint256,
  );
  client.destroy();
  server.close();
  worker.kill('SIGKILL');
  await once(worker, 'close');
});
