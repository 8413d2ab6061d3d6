import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeeperServer, passedOnBy } from '../../../src/workers/keeper-server.ts';
import { HEADERS } from '../../../src/workers/messages.ts';

let server: KeeperServer;
let seen: unknown[];
beforeEach(async () => {
  seen = [];
  server = await KeeperServer.listen((incoming, response) => {
    seen.push(passedOnBy(incoming));
    response.end();
  });
});
afterEach(() => server.close());

async function ask(headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  const asking = request({ socketPath: server.address.socketPath, headers, agent: false });
  asking.end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

describe('KeeperServer', () => {
  it('takes what a worker says of a request that it passes on', async () => {
    const headers = {
      [HEADERS.secret]: server.address.secret,
      [HEADERS.id]: 'a',
      [HEADERS.worker]: '7',
      [HEADERS.client]: '192.0.2.1',
    };
    expect(await ask(headers)).toBe(200);
    expect(seen).toEqual([{ id: 'a', worker: 7, client: '192.0.2.1', isRest: false }]);
  });

  it.each([
    ['no secret', () => ({})],
    ['another secret', () => ({ [HEADERS.secret]: '0'.repeat(64) })],
    ['a part of it', () => ({ [HEADERS.secret]: server.address.secret.slice(0, 32) })],
  ])('cuts off whoever has %s', async (_title, headers) => {
    await expect(ask({ ...headers(), [HEADERS.id]: 'a' })).rejects.toThrow('socket hang up');
    expect(seen).toEqual([]);
  });
});
