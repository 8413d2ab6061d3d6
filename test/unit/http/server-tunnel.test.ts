/** A CONNECT in the line: Node.js hands its connection over and no longer looks after it, with the answers before it. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/http/refusal.ts';
import { ListeningServer } from '../../../src/http/server.ts';

const PIECE = Buffer.alloc(256 * 1024);
const CONNECT = 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n';

let server: ListeningServer;
let socket: Socket;
let refusals: Refusal[];
let closed: Promise<unknown>;

/** Each piece when the one before was taken, without end. */
function writeOn(response: ServerResponse): void {
  response.write(PIECE, (error) => error ?? writeOn(response));
}

beforeEach(async () => {
  refusals = [];
  const answered = Promise.withResolvers<unknown>();
  closed = answered.promise;
  const answer = (_request: unknown, response: ServerResponse) => {
    response.once('close', answered.resolve);
    writeOn(response);
  };
  const options = { timeoutMs: 250, onRefused: (refusal: Refusal) => refusals.push(refusal) };
  server = await ListeningServer.listen(answer, { host: '127.0.0.1', port: 0 }, options);
  // It never reads.
  socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
});

afterEach(async () => {
  socket.destroy();
  await server.close(AbortSignal.abort());
});

describe('a client that wants a tunnel behind an answer of which it takes nothing', () => {
  it('loses its connection when the time is up, as any other', async () => {
    socket.write(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${CONNECT}`);
    await closed;
    expect(refusals.map(({ reason }) => reason)).toEqual(['malformed', 'stalled']);
  });
});
