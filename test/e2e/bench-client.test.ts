/** The load client of the benchmark, which must not take a wrong answer for a good one. Needs a compiler and OpenSSL's headers. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { hammers, pull, readers, type PullResult, type Puller } from '../../bench/load/client.ts';
import { removeWorkspace } from '../../bench/support/workspace.ts';

const MIB = 2 ** 20;

// Vitest ends its processes in a way that none of them hears of.
afterAll(removeWorkspace);

interface Served {
  readonly url: string;
  /** Method and path of each request, in the order in which they came. */
  readonly asked: readonly string[];
  readonly connections: number;
}

async function serve(answer: RequestListener, isTls = false): Promise<Served> {
  const asked: string[] = [];
  let connections = 0;
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  };
  const file = (name: string) => readFile(new URL(`../support/tls/${name}`, import.meta.url));
  const server = isTls
    ? createTlsServer({ cert: await file('a.crt'), key: await file('a.key') }, listener)
    : createServer(listener);
  server.on(isTls ? 'secureConnection' : 'connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http${isTls ? 's' : ''}://127.0.0.1:${port}`,
    asked,
    get connections() {
      return connections;
    },
  };
}

const bytes =
  (size: number): RequestListener =>
  (request, response) => {
    response.writeHead(200, { 'Content-Length': size });
    response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(size));
  };

function faultOf(result: PullResult): string {
  expect(result.errors).toBe(1);
  return result.firstError ?? '';
}

test.each([
  ['plain HTTP', false],
  ['TLS', true],
])('every reader gets every byte over one connection of %s', async (_name, isTls) => {
  const server = await serve(bytes(3 * MIB + 1), isTls);
  const result = await pull({ url: server.url, pullers: readers(4, '/a', '/b') });
  expect(result).toMatchObject({ errors: 0, requests: 8, bytes: 8 * (3 * MIB + 1) });
  expect(result.pullers.map((puller) => puller.bytes)).toEqual(Array(4).fill(2 * (3 * MIB + 1)));
  expect(server.connections).toBe(4);
});

test('bodies that are copied out of the kernel count alike', async () => {
  const { url } = await serve(bytes(MIB));
  expect(await pull({ url, pullers: readers(2, '/a'), isCopying: true })).toMatchObject({
    errors: 0,
    bytes: 2 * MIB,
  });
});

test('a HEAD has no body whatever its Content-Length says', async () => {
  const { url, asked } = await serve(bytes(MIB));
  expect(await pull({ url, pullers: readers(1, 'HEAD /a', '/b') })).toMatchObject({ errors: 0, bytes: MIB });
  expect(asked).toEqual(['HEAD /a', 'GET /b']);
});

test('a status other than 200 is an error', async () => {
  const { url } = await serve((_request, response) => response.writeHead(404).end('none'));
  expect(faultOf(await pull({ url, pullers: readers(1, '/a') }))).toBe('GET /a: status 404');
});

test('a body that ends early is an error', async () => {
  const { url } = await serve((_request, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write(Buffer.alloc(60), () => response.destroy());
  });
  expect(faultOf(await pull({ url, pullers: readers(1, '/a') }))).toMatch(/after 60 of 100 bytes/);
});

test('an answer without Content-Length is an error', async () => {
  const { url } = await serve((_request, response) => {
    response.write('a');
    response.end('b');
  });
  expect(faultOf(await pull({ url, pullers: readers(1, '/a') }))).toMatch(/no Content-Length/);
});

test('a connection that nobody answers on is an error, and the others go on', async () => {
  const { url } = await serve((request, response) => {
    if (request.url === '/broken') request.socket.destroy();
    else bytes(10)(request, response);
  });
  const result = await pull({ url, pullers: [...readers(1, '/broken', '/a'), ...readers(1, '/a')] });
  expect(faultOf(result)).toMatch(/GET \/broken: the connection ended before an answer/);
  expect(result).toMatchObject({ requests: 3, bytes: 20 });
});

test('what is not done in time is an error', async () => {
  const { url } = await serve(() => undefined);
  const result = await pull({ url, pullers: readers(1, '/a'), timeoutSeconds: 0.2 });
  expect(faultOf(result)).toMatch(/not done/);
});

test('a stage begins when the one before it is complete', async () => {
  const pending: (() => void)[] = [];
  const server = await serve((request, response) => {
    pending.push(() => bytes(1)(request, response));
    // Two layers have to be under way at once, and none of them before the manifest is there.
    const wanted = request.url?.startsWith('/layer') ? 2 : 1;
    if (pending.length === wanted) for (const answer of pending.splice(0)) answer();
  });
  const puller: Puller = { connections: 2, stages: [['HEAD /tag'], ['/tag'], ['/layer1', '/layer2']] };
  expect(await pull({ url: server.url, pullers: [puller] })).toMatchObject({ errors: 0, requests: 4 });
  expect(server.asked.slice(0, 2)).toEqual(['HEAD /tag', 'GET /tag']);
  expect(server.asked.slice(2).toSorted()).toEqual(['GET /layer1', 'GET /layer2']);
  expect(server.connections).toBe(2);
});

test('a slow reader leaves fast ones alone and gets all it asked for', async () => {
  const { url } = await serve(bytes(MIB));
  const slow: Puller = { bytesPerSecond: 4 * MIB, stages: [['/slow']] };
  const { errors, pullers } = await pull({ url, pullers: [slow, ...readers(1, '/fast')] });
  expect(errors).toBe(0);
  const [slowOne, fastOne] = pullers;
  expect(slowOne?.bytes).toBe(MIB);
  expect(fastOne?.finishSeconds).toBeLessThan(slowOne?.finishSeconds ?? 0);
});

test('a connection that the server closed while it was idle is made anew', async () => {
  const server = await serve((request, response) => {
    bytes(1)(request, response);
    response.once('close', () => request.socket.destroy());
  });
  const result = await pull({ url: server.url, pullers: readers(1, '/a', '/b', '/c') });
  expect(result).toMatchObject({ errors: 0, bytes: 3 });
  expect(server.connections).toBeGreaterThan(1);
});

test('in a loop the requests go round until the time is up', async () => {
  const { url, asked } = await serve(bytes(1));
  const result = await pull({ url, pullers: hammers(2, ['/a', '/b']), loopSeconds: 0.2 });
  expect(result.errors).toBe(0);
  expect(result.requests).toBe(asked.length);
  expect(result.requests).toBeGreaterThan(4);
  expect(new Set(asked)).toEqual(new Set(['GET /a', 'GET /b']));
});
