/** Requests that come ahead of the answers to others on their connection (RFC 9112, section 9.3.2). */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/http/refusal.ts';
import { ListeningServer } from '../../../src/http/server.ts';
import { get } from '../../support/http.ts';
import { randomBytes } from '../../support/images.ts';
import { parseResponses, RawConnection } from '../../support/raw-http.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
/** Fewer than Node.js reads at once on three connections. */
const MAX_WAITING = 5000;
/** As much as Node.js reads at once. */
const ONE_READ = 64 * 1024;

let server: ListeningServer;
let refusals: Refusal[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
/** Of requests that have no answer yet: how many there are, and the most there were. */
let running: number;
let mostRunning: number;
let asked: number;

function app(request: IncomingMessage, response: ServerResponse): void {
  asked += 1;
  running += 1;
  mostRunning = Math.max(mostRunning, running);
  response.once('close', () => (running -= 1));
  answer(request, response);
}

const requestFor = (path: string | number) => `GET /${path} HTTP/1.1\r\nHost:\r\n\r\n`;
const requests = (count: number) => Array.from({ length: count }, (_, index) => requestFor(index)).join('');

/** With whose answer the connection ends. */
const LAST = 'GET /last HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n';

/** Answers with the path, as soon as some other work was done. */
function echo({ url }: IncomingMessage, response: ServerResponse): void {
  setImmediate(() => {
    response.setHeader('Content-Length', url!.length);
    response.end(url);
  });
}

/** Answers the first request when it is told to, and echoes all others. */
function holdFirst(): Promise<ServerResponse> {
  const { promise, resolve } = Promise.withResolvers<ServerResponse>();
  answer = (_request, response) => {
    answer = echo;
    response.setHeader('Content-Length', '/0'.length);
    resolve(response);
  };
  return promise;
}

/** All that comes until the connection ends, for more than a RawConnection is made for. */
async function exchange(bytes: string): Promise<Buffer> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function pathsIn(bytes: Buffer): readonly string[] {
  return parseResponses(bytes).map(({ body }) => body);
}

const pathsTo = (count: number) => [...Array.from({ length: count }, (_, index) => `/${index}`), '/last'];

beforeEach(async () => {
  refusals = [];
  [running, mostRunning, asked] = [0, 0, 0];
  answer = echo;
  server = await ListeningServer.listen(app, LOOPBACK, {
    onRefused: (refusal) => refusals.push(refusal),
    limits: { waitingRequests: MAX_WAITING },
  });
});

afterEach(() => server.close(AbortSignal.abort()));

describe('requests that come at once on one connection', () => {
  it('are answered one after the other, all of them, in the order they came', async () => {
    using connection = await RawConnection.open(server.url);
    connection.send(requests(1000) + LAST);
    expect(pathsIn(await connection.toEnd())).toEqual(pathsTo(1000));
    expect(mostRunning).toBe(1);
  });

  it('do not stand in the way of those on others', async () => {
    const first = holdFirst();
    using connection = await RawConnection.open(server.url);
    connection.send(requests(100) + LAST);
    const held = await first;
    expect((await get(`${server.url}/other`)).body.toString()).toBe('/other');
    held.end('/0');
    expect(pathsIn(await connection.toEnd())).toEqual(pathsTo(100));
  });

  it('end with the one that wants its connection closed', async () => {
    using connection = await RawConnection.open(server.url);
    connection.send(requestFor(0) + LAST + requestFor('after'));
    expect(pathsIn(await connection.toEnd())).toEqual(['/0', '/last']);
    expect(asked).toBe(2);
  });

  it('are not begun any more when the answer to one before them ends the connection', async () => {
    const first = holdFirst();
    using connection = await RawConnection.open(server.url);
    connection.send(requests(100));
    (await first).setHeader('Connection', 'close').end('/0');
    expect(pathsIn(await connection.toEnd())).toEqual(['/0']);
    expect(asked).toBe(1);
  });

  it('are not begun any more when their client has left', async () => {
    const first = holdFirst();
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write(requests(100));
    const held = await first;
    const closed = once(held, 'close');
    socket.resetAndDestroy();
    await once(socket, 'close');
    held.end('/0');
    await closed;
    await get(server.url);
    expect(asked).toBe(2);
  });

  it('are refused in their turn where they are no HTTP: what was asked before is answered whole', async () => {
    const first = holdFirst();
    using connection = await RawConnection.open(server.url);
    connection.send(`${requests(3)}nonsense\r\n\r\n${requestFor('after')}`);
    const held = await first;
    expect(refusals).toEqual([{ reason: 'malformed', client: '127.0.0.1', code: 'HPE_INVALID_METHOD' }]);
    held.end('/0');
    const responses = parseResponses(await connection.toEnd());
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 400]);
    expect(refusals).toHaveLength(1);
    expect(asked).toBe(3);
  });

  it.each([
    ['want a tunnel', 'CONNECT mirror:443 HTTP/1.1\r\nHost: mirror:443\r\n\r\n'],
    ['have no host', 'GET / HTTP/1.1\r\n\r\n'],
  ])('are refused in their turn where they %s', async (_what, bytes) => {
    const first = holdFirst();
    using connection = await RawConnection.open(server.url);
    connection.send(requests(2) + bytes);
    (await first).end('/0');
    const responses = parseResponses(await connection.toEnd());
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 400]);
  });
});

describe('a client that asks without end and waits for no answer', () => {
  const COUNT = 10_000;

  it('is read no further than it is answered, and gets all its answers', async () => {
    const first = holdFirst();
    const received = exchange(requests(COUNT) + LAST);
    const held = await first;
    // Whatever Node.js still meant to read, it has read when others were served.
    for (let other = 0; other < 20; other += 1) await get(server.url);
    expect(held.socket?.bytesRead).toBeLessThanOrEqual(ONE_READ);
    held.end('/0');
    expect(pathsIn(await received)).toEqual(pathsTo(COUNT));
  });

  it('is read no further either while it takes a long answer, whose every piece has Node.js read on', async () => {
    const piece = randomBytes('piece', 256 * 1024);
    const PIECES = 64;
    let mostRead = 0;
    answer = ({ socket }, response) => {
      answer = echo;
      response.setHeader('Content-Length', PIECES * piece.length);
      const write = (left: number) => {
        mostRead = Math.max(mostRead, socket.bytesRead);
        if (left === 0) response.end();
        else response.write(piece, () => setImmediate(write, left - 1));
      };
      write(PIECES);
    };
    const [long = '', ...others] = pathsIn(await exchange(requests(COUNT) + LAST));
    expect(mostRead).toBeLessThanOrEqual(ONE_READ);
    expect(
      Buffer.from(long, 'latin1').equals(Buffer.concat(Array.from({ length: PIECES }, () => piece))),
    ).toBe(true);
    expect(others).toEqual(pathsTo(COUNT).slice(1));
  });

  it('loses its connection where all of its kind together have more waiting than is kept', async () => {
    const held: ServerResponse[] = [];
    answer = (_request, response) => void held.push(response);
    const connections = await Promise.all(Array.from({ length: 10 }, () => RawConnection.open(server.url)));
    for (const connection of connections) connection.send(requests(2000));
    await expect.poll(() => refusals.length).toBeGreaterThan(0);
    expect(refusals).toContainEqual({ reason: 'too-many-requests', client: '127.0.0.1' });
    await expect.poll(() => held.filter(({ destroyed }) => destroyed).length).toBe(refusals.length);

    // Meanwhile others are served, and when they are gone, so are those of their kind.
    answer = echo;
    expect((await get(`${server.url}/other`)).body.toString()).toBe('/other');
    for (const response of held) response.destroy();
    await expect.poll(() => running).toBe(0);
    expect(pathsIn(await exchange(requests(100) + LAST))).toEqual(pathsTo(100));
    for (const connection of connections) connection[Symbol.dispose]();
  });
});
