/** How long clients may take, how many may come, and what they get who take longer or come on top. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/http/refusal.ts';
import { ListeningServer, type ListenOptions } from '../../../src/http/server.ts';
import { TlsFiles } from '../../../src/http/tls-files.ts';
import { get } from '../../support/http.ts';
import { parseResponses, RawConnection, sendRaw } from '../../support/raw-http.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const PAIRS = join(import.meta.dirname, '../../support/tls');
const SHORT = { headersMs: 100, requestMs: 100, checkMs: 10 };
const MIB = 1024 * 1024;

let server: ListeningServer;
let refusals: Refusal[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let sockets: Socket[];

async function listen(options: ListenOptions): Promise<void> {
  server = await ListeningServer.listen((request, response) => answer(request, response), LOOPBACK, {
    onRefused: (refusal) => refusals.push(refusal),
    ...options,
  });
}

/** A client that reads nothing until it is told to. */
async function openSocket(): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** Each piece when the one before was taken. */
function writeAll(response: ServerResponse, bytes: number): void {
  const piece = Buffer.alloc(256 * 1024);
  const write = (left: number) => {
    if (left > 0) response.write(piece, (error) => error ?? write(left - piece.length));
  };
  write(bytes);
}

function tlsFiles(): Promise<TlsFiles> {
  const [certificate, key] = [join(PAIRS, 'a.crt'), join(PAIRS, 'a.key')];
  return TlsFiles.load({ certificate, key, onReload: () => undefined });
}

beforeEach(() => {
  refusals = [];
  sockets = [];
  answer = (_request, response) => response.end('done');
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close(AbortSignal.abort());
});

describe('a listener with a bound on its connections', () => {
  it('closes those above it, says so, and takes the next when another has gone', async () => {
    await listen({ maxConnections: 2 });
    const first = await RawConnection.open(server.url);
    using second = await RawConnection.open(server.url);
    for (const connection of [first, second]) {
      connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await connection.until(/done$/);
    }
    using third = await RawConnection.open(server.url);
    expect(await third.toEnd()).toHaveLength(0);
    expect(refusals).toEqual([{ reason: 'too-many-connections', client: '127.0.0.1' }]);

    first[Symbol.dispose]();
    await expect
      .poll(() =>
        get(server.url).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
    second.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await second.until(/done[^]*done$/);
  });
});

describe('a client that takes its time to ask', () => {
  beforeEach(() => listen({ limits: SHORT }));

  it.each([
    ['begins', 'GET / HT'],
    ['has sent some headers of', 'GET / HTTP/1.1\r\nHost: a\r\nX: private'],
  ])('is told, and its connection ended, when it %s a request and no more comes', async (_what, bytes) => {
    expect(await sendRaw(server.url, bytes)).toMatchObject([
      { status: 408, headers: { 'content-type': 'application/json', connection: 'close' } },
    ]);
    expect(refusals).toEqual([{ reason: 'too-slow', client: '127.0.0.1', code: 'ERR_HTTP_REQUEST_TIMEOUT' }]);
  });

  it('gets no more of it by sending a byte now and then', async () => {
    const socket = await openSocket();
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nX: ');
    const drip = setInterval(() => socket.write('x'), 5);
    const [received] = (await once(socket, 'data')) as [Buffer];
    clearInterval(drip);
    expect(received.toString()).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('is let go without a word when it never said one: Go’s clients have connections to spare', async () => {
    expect(await sendRaw(server.url, '')).toEqual([]);
    expect(refusals).toEqual([]);
  });

  it('gets all that it did ask for first', async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    answer = (_request, response) => resolve(response);
    using connection = await RawConnection.open(server.url);
    connection.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HT');
    const response = await promise;
    answer = ({ url }, next) => next.end(url);
    await expect.poll(() => refusals.length).toBe(1);
    response.end('/1');
    const responses = parseResponses(await connection.toEnd());
    expect(responses.map(({ status, body }) => [status, body.slice(0, 2)])).toEqual([
      [200, '/1'],
      [200, '/2'],
      [408, '{"'],
    ]);
  });

  it('gets its answer although its body never comes, and no more then', async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    answer = (_request, response) => resolve(response);
    using connection = await RawConnection.open(server.url);
    connection.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12');
    const response = await promise;
    await expect.poll(() => refusals.length).toBe(1);
    response.end();
    const responses = parseResponses(await connection.toEnd());
    expect(responses.map(({ status }) => status)).toEqual([200, 408]);
  });
});

describe('a connection that is kept', () => {
  it('ends without a word when no request comes for as long as it may be idle', async () => {
    await listen({ limits: { idleMs: 10 } });
    expect(await sendRaw(server.url, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toMatchObject([{ status: 200 }]);
    expect(refusals).toEqual([]);
  });
});

describe('a client that takes nothing of its answer', () => {
  it.each(['http', 'https'])('loses its connection over %s when the time is up', async (scheme) => {
    await listen({ timeoutMs: 100, tls: scheme === 'https' ? await tlsFiles() : undefined });
    const closed = new Promise<void>((resolve) => {
      answer = (_request, response) => {
        response.once('close', resolve);
        writeAll(response, 64 * MIB);
      };
    });
    const socket = await openSocket();
    const client = scheme === 'http' ? socket : connectTls({ socket, rejectUnauthorized: false });
    client.on('error', () => undefined);
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await closed;
    expect(refusals).toEqual([{ reason: 'stalled', client: '127.0.0.1' }]);
  });

  it('has time while it is we who have nothing to send', async () => {
    await listen({ timeoutMs: 20 });
    answer = ({ socket }, response) => {
      response.write('begun');
      socket.once('timeout', () => response.end(' and ended'));
    };
    expect((await get(server.url)).body.toString()).toBe('begun and ended');
    expect(refusals).toEqual([]);
  });

  it('holds no more of ours than what was written last', async () => {
    await listen({});
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    answer = (_request, response) => {
      response.setHeader('Content-Length', 64 * MIB);
      writeAll(response, 64 * MIB);
      resolve(response);
    };
    (await openSocket()).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const response = await promise;
    await expect.poll(() => response.socket?.writableLength).toBeGreaterThan(0);
    expect(response.writableLength).toBeLessThanOrEqual(256 * 1024 + 1000);
  });
});

describe('a client that is refused', () => {
  it('may break its connection at any time', async () => {
    await listen({});
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    answer = (_request, response) => resolve(response);
    const socket = await openSocket();
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n');
    const response = await promise;
    await expect.poll(() => refusals.length).toBe(1);
    const closed = once(response, 'close');
    socket.resetAndDestroy();
    response.end('done');
    await closed;
    answer = (_request, next) => next.end('done');
    expect((await get(server.url)).status).toBe(200);
  });
});

describe('what is no TLS handshake', () => {
  it.each([
    ['is plain HTTP', 'GET / HTTP/1.1\r\nX: private\r\n\r\n', 'ERR_SSL_HTTP_REQUEST'],
    ['is nonsense', 'private'.repeat(10), 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['does not go on', Buffer.from([0x16, 0x03, 0x01]), 'ERR_TLS_HANDSHAKE_TIMEOUT'],
    ['does not begin', '', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
  ])('ends the connection and is told of when it %s', async (_what, bytes, code) => {
    await listen({ tls: await tlsFiles(), limits: SHORT });
    expect(await sendRaw(server.url, bytes)).not.toContainEqual(expect.objectContaining({ status: 200 }));
    expect(refusals).toEqual([{ reason: 'tls', client: '127.0.0.1', code }]);
  });

  it('is not told of where the client only left', async () => {
    await listen({ tls: await tlsFiles() });
    const socket = await openSocket();
    socket.resetAndDestroy();
    const ca = readFileSync(join(PAIRS, 'a.crt'));
    const { port } = new URL(server.url);
    const client = connectTls({ host: '127.0.0.1', port: Number(port), ca, servername: 'localhost' });
    sockets.push(client);
    await once(client, 'secureConnect');
    expect(refusals).toEqual([]);
  });
});
