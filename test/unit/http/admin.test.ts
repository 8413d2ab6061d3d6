import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createAdminApp } from '../../../src/http/admin.ts';
import { get, jsonOf } from '../../support/http.ts';

async function readiness(faults: readonly string[], warnings: readonly string[]) {
  const app = createAdminApp({
    findFaults: () => Promise.resolve(faults),
    findWarnings: () => Promise.resolve(warnings),
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const answer = await get(`http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`);
    return [answer.status, jsonOf(answer)];
  } finally {
    server.close();
  }
}

describe('/readyz', () => {
  it('stays 200 for what is wrong while requests can be served, and is 503 when they can not', async () => {
    expect(await readiness([], [])).toEqual([200, { status: 'ok', faults: [], warnings: [] }]);
    expect(await readiness([], ['the disk is full'])).toEqual([
      200,
      { status: 'degraded', faults: [], warnings: ['the disk is full'] },
    ]);
    expect(await readiness(['it is shutting down'], ['the disk is full'])).toEqual([
      503,
      { status: 'not ready', faults: ['it is shutting down'], warnings: ['the disk is full'] },
    ]);
  });
});
