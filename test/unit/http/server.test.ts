import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ListeningServer } from '../../../src/http/server.ts';
import { get, open } from '../../support/http.ts';
import { parseResponses, RawConnection, sendRaw } from '../../support/raw-http.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };

let server: ListeningServer;
/** Of requests for /hold, which are left without an end. */
let held: ServerResponse[];
let onHeld: (response: ServerResponse) => void;

function app(request: IncomingMessage, response: ServerResponse): void {
  if (request.url !== '/hold') {
    response.end('done');
    return;
  }
  response.write('begun');
  held.push(response);
  onHeld(response);
}

/** Resolves when a request for /hold is being answered. */
function nextHeld(): Promise<ServerResponse> {
  return new Promise((resolve) => (onHeld = resolve));
}

beforeEach(async () => {
  held = [];
  onHeld = () => undefined;
  server = await ListeningServer.listen(app, LOOPBACK);
});

afterEach(() => server.close(AbortSignal.abort()));

describe('ListeningServer.listen', () => {
  it('tells where it listens, with the port that the system chose', async () => {
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect((await get(server.url)).body.toString()).toBe('done');
  });

  it('rejects, and says what could not be had, where the port is taken', async () => {
    const port = Number(new URL(server.url).port);
    await expect(ListeningServer.listen(app, { ...LOOPBACK, port })).rejects.toThrow(
      `can't listen on 127.0.0.1:${port}: address already in use`,
    );
  });

  it('rejects where the address is none of this machine', async () => {
    // Of a block for documentation (RFC 5737).
    await expect(ListeningServer.listen(app, { host: '192.0.2.1', port: 0 })).rejects.toThrow(
      "can't listen on 192.0.2.1:0: address not available",
    );
  });
});

describe('ListeningServer', () => {
  it.each([
    ['is no HTTP', 'HELLO\r\n\r\n', 400],
    ['has an unknown method', 'FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['has endless headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('answers what %s in the form of the OCI and ends the connection', async (_what, bytes, status) => {
    const [answer, ...others] = await sendRaw(server.url, bytes);
    expect(others).toEqual([]);
    expect(answer?.status).toBe(status);
    expect(answer?.headers['content-type']).toBe('application/json');
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });

  it('answers at once who asks whether to go on with a body', async () => {
    using connection = await RawConnection.open(server.url);
    connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n');
    await connection.until(/done/);
    expect(connection.received.toString()).toMatch(/^HTTP\/1\.1 200 OK/);
  });
});

describe('ListeningServer.close', () => {
  it('waits for an answer that runs, and says with it that the connection ends', async () => {
    const running = nextHeld();
    using connection = await RawConnection.open(server.url);
    connection.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
    const response = await running;
    await connection.until(/begun/);
    let isClosed = false;
    const closed = server.close(new AbortController().signal).then(() => (isClosed = true));
    await expect(get(server.url)).rejects.toThrow('ECONNREFUSED');
    connection.send('GET /last HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(isClosed).toBe(false);
    response.end(' and ended');
    await closed;
    const received = (await connection.toEnd()).toString();
    expect(received).toContain(' and ended');
    // What was asked on the old connection after that is answered as the last, or not at all.
    const [, rest = ''] = received.split('\r\n0\r\n\r\n');
    for (const { headers } of parseResponses(Buffer.from(rest))) expect(headers['connection']).toBe('close');
  });

  it('waits for a client that has not yet taken all of an answer that is complete', async () => {
    const body = Buffer.alloc(32 * 1024 * 1024);
    const answered = Promise.withResolvers<ServerResponse>();
    const large = await ListeningServer.listen((_request, response) => {
      response.end(body);
      answered.resolve(response);
    }, LOOPBACK);
    const answer = await open(large.url);
    const response = await answered.promise;
    expect(response.writableEnded).toBe(true);
    const closed = large.close(new AbortController().signal);
    expect(await answer.rest()).toMatchObject({ isCutShort: false, body: { length: body.length } });
    await closed;
  });

  it('ends a connection with the answer that runs on it, although its client would keep it', async () => {
    const running = nextHeld();
    using connection = await RawConnection.open(server.url);
    connection.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n');
    const response = await running;
    await connection.until(/begun/);
    const closed = server.close(new AbortController().signal);
    response.end(' and ended');
    await closed;
    expect((await connection.toEnd()).toString()).toContain(' and ended');
  });

  it('answers no more than one of the requests that were sent ahead', async () => {
    const running = nextHeld();
    using connection = await RawConnection.open(server.url);
    connection.send('GET /hold HTTP/1.1\r\nHost: a\r\n\r\n' + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(9));
    const response = await running;
    const closed = server.close(new AbortController().signal);
    response.end();
    await closed;
    const received = (await connection.toEnd()).toString();
    expect(received.match(/^HTTP\/1\.1 200/gm)).toHaveLength(2);
    expect(received).toMatch(/Connection: close[^]*done$/);
  });

  it('cuts off what runs when the grace time is over', async () => {
    const running = nextHeld();
    const answer = await open(`${server.url}/hold`);
    await running;
    const grace = new AbortController();
    const closed = server.close(grace.signal);
    grace.abort();
    await closed;
    expect((await answer.rest()).isCutShort).toBe(true);
  });

  it('ends connections on which nothing runs, whether they were ever used or not', async () => {
    using used = await RawConnection.open(server.url);
    used.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await used.until(/done/);
    using unused = await RawConnection.open(server.url);
    using begun = await RawConnection.open(server.url);
    begun.send('GET / HT');
    await get(server.url);
    await server.close(new AbortController().signal);
    await Promise.all([used.toEnd(), unused.toEnd(), begun.toEnd()]);
    expect(held).toEqual([]);
  });
});
