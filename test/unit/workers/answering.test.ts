/** With a keeper of the test's own. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { HotAnswers } from '../../../src/http/hot-answers.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { Answering } from '../../../src/workers/answering.ts';
import { KeeperServer } from '../../../src/workers/keeper-server.ts';
import { HEADERS } from '../../../src/workers/messages.ts';
import { get } from '../../support/http.ts';

const nothing = () => undefined;
const BODY = Buffer.from('0123456789');
const DIGEST = digestOf(BODY);

let keeper: KeeperServer;
let answering: Answering;
let server: Server;
let open = 0;
afterEach(async () => {
  answering.close();
  server.closeAllConnections();
  server.close();
  await keeper.close();
});

/** A worker that finds no file, and what its keeper says when it is asked for the bytes. */
async function start(answerRest: RequestListener): Promise<string> {
  keeper = await KeeperServer.listen((request, response) => {
    open += 1;
    response.once('close', () => (open -= 1));
    if (request.headers[HEADERS.rest] !== undefined) {
      answerRest(request, response);
      return;
    }
    // It stays open, as the keeper's does.
    response.writeHead(200, { 'Docker-Content-Digest': DIGEST, ETag: DIGEST, [HEADERS.file]: '0-10' });
    response.flushHeaders();
  });
  answering = new Answering({
    ...{ worker: 1, keeper: keeper.address, onEnded: nothing },
    hot: { answers: new HotAnswers(1), now: Date.now, touch: nothing, observe: nothing },
    files: { open: () => Promise.resolve(undefined) },
  });
  server = createServer(answering.listener);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/a/blobs/${DIGEST}`;
}

it('gives the reason where a file is gone and the keeper has it no more', async () => {
  const url = await start((_request, response) => {
    response.writeHead(503, 'upstream is away', { 'Retry-After': '5' }).end('{}');
  });
  const { status, headers, body } = await get(url);
  expect({ status, after: headers['retry-after'], body: body.toString() }).toEqual({
    ...{ status: 503, after: '5', body: '{}' },
  });
  expect(headers['docker-content-digest']).toBeUndefined();
});

it('holds no connection to the keeper when the rest can not be asked for', async () => {
  const url = await start((request) => void request.socket.destroy());
  expect((await get(url)).status).toBe(503);
  await expect.poll(() => open).toBe(0);
});
