import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { beginRecord, type RequestRecord } from '../../../src/http/request-record.ts';

let answer: (response: ServerResponse) => void;
let ended: PromiseWithResolvers<RequestRecord>;
const server = createServer((incoming, response) => {
  beginRecord(incoming, response, { id: 'one', client: undefined }, (record) => ended.resolve(record));
  answer(response);
});

beforeEach(async () => {
  ended = Promise.withResolvers();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** Leaves when it has that many bytes. */
async function leaveAfter(bytes: number): Promise<RequestRecord> {
  const asking = request({ port: (server.address() as AddressInfo).port, agent: false });
  asking.on('error', () => undefined);
  asking.end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  let received = 0;
  response.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received >= bytes) asking.destroy();
  });
  return ended.promise;
}

describe('the record of an answer that was never finished', () => {
  it.each([
    ['all', 10_000],
    ['half', 5_000],
    ['the first byte', 1],
  ])('has %s of its body where that went out', async (_how, bytes) => {
    answer = (response) => {
      response.writeHead(200, { 'Content-Length': 10_000, 'X-Several': ['one', 'two'] });
      response.write(Buffer.alloc(bytes));
    };
    expect(await leaveAfter(bytes)).toMatchObject({ bytes, status: 200, isAborted: true });
  });

  it('has no bytes where only its head went out', async () => {
    answer = (response) => {
      response.setHeader('Content-Length', 10_000);
      response.flushHeaders();
      response.req.socket.destroySoon();
    };
    expect(await leaveAfter(1)).toMatchObject({ bytes: 0, status: 200, isAborted: true });
  });
});
