/** A listener for connections that come elsewhere, as those of a worker do. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/http/refusal.ts';
import { ListeningServer, type ListenOptions } from '../../../src/http/server.ts';
import { TlsFiles } from '../../../src/http/tls-files.ts';
import { get } from '../../support/http.ts';
import { RawConnection } from '../../support/raw-http.ts';

const PAIRS = join(import.meta.dirname, '../../support/tls');

let door: Server;
let server: ListeningServer;
let refusals: Refusal[];
let release: PromiseWithResolvers<undefined>;
let asked: PromiseWithResolvers<undefined>;

async function open(options: ListenOptions = {}): Promise<string> {
  server = ListeningServer.withoutPort(
    ({ url }, response) => {
      asked.resolve(undefined);
      if (url !== '/slow') response.end('done');
      else void release.promise.then(() => response.end('done'));
    },
    { onRefused: (refusal) => void refusals.push(refusal), ...options },
  );
  door = createServer((socket: Socket) => server.take(socket));
  door.listen({ host: '127.0.0.1', port: 0 });
  await once(door, 'listening');
  return `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
}

beforeEach(() => {
  refusals = [];
  release = Promise.withResolvers();
  asked = Promise.withResolvers();
});
afterEach(async () => {
  door.close();
  await server.close(AbortSignal.abort());
});

describe('ListeningServer without a port', () => {
  it('serves what it is handed, and has no address', async () => {
    const url = await open();
    expect((await get(url)).body.toString()).toBe('done');
    expect(server.url).toBe('');
  });

  it('does not wait forever for headers', async () => {
    const url = await open({ limits: { headersMs: 100, requestMs: 100, checkMs: 10 } });
    using connection = await RawConnection.open(url);
    connection.send('GET /v2/ HT');
    expect((await connection.toEnd()).toString()).toMatch(/^HTTP\/1\.1 408 /);
    expect(refusals).toMatchObject([{ reason: 'too-slow', client: '127.0.0.1' }]);
  });

  it('has answers come to their end when it closes, and connections on which nothing runs go', async () => {
    const url = await open();
    using idle = await RawConnection.open(url);
    idle.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await idle.until(/done$/);
    const slow = get(`${url}/slow`);
    asked = Promise.withResolvers();
    await asked.promise;
    let isClosed = false;
    const closed = server.close(new AbortController().signal).then(() => (isClosed = true));
    await idle.toEnd();
    expect(isClosed).toBe(false);
    release.resolve(undefined);
    expect((await slow).body.toString()).toBe('done');
    await closed;
  });

  it('cuts off what still runs when the grace is over', async () => {
    const url = await open();
    const slow = get(`${url}/slow`);
    slow.catch(() => undefined);
    await asked.promise;
    const grace = new AbortController();
    const closed = server.close(grace.signal);
    grace.abort();
    await closed;
    await expect(slow).rejects.toThrow('socket hang up');
  });

  it('speaks TLS where it has a certificate', async () => {
    const [certificate, key] = [join(PAIRS, 'a.crt'), join(PAIRS, 'a.key')];
    const url = await open({ tls: await TlsFiles.load({ certificate, key, onReload: () => undefined }) });
    using plain = await RawConnection.open(url);
    plain.send('GET / HTTP/1.1\r\n\r\n');
    expect((await plain.toEnd()).toString()).not.toContain('done');
    expect(refusals).toMatchObject([{ reason: 'tls' }]);
  });
});
