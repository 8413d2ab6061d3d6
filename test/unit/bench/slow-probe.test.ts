import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { probeDuring } from '../../../bench/scenarios/slow-probe.ts';

class Listening implements AsyncDisposable {
  readonly #server: Server;

  constructor(listener: RequestListener) {
    this.#server = createServer(listener).listen(0, '127.0.0.1');
  }

  async url(): Promise<string> {
    if (!this.#server.listening) await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe('probeDuring', () => {
  it('asks again and again until the work is done, and gives its result', async () => {
    const work = Promise.withResolvers<string>();
    let asked = 0;
    await using server = new Listening((_request, response) => {
      asked += 1;
      if (asked === 3) work.resolve('done');
      response.end('{}');
    });
    const probed = await probeDuring(await server.url(), work.promise);
    expect(probed).toMatchObject({ result: 'done', requests: asked, errors: 0 });
    expect(probed.p99Ms).toBeGreaterThanOrEqual(probed.p50Ms);
  });

  it('asks at least once, however short the work is', async () => {
    await using server = new Listening((_request, response) => response.end());
    expect(await probeDuring(await server.url(), Promise.resolve(1))).toMatchObject({
      requests: 1,
      errors: 0,
    });
  });

  it('counts other statuses, broken answers and no answers as errors', async () => {
    const work = Promise.withResolvers<undefined>();
    const answers: RequestListener[] = [
      (_request, response) => response.writeHead(404).end(),
      (request) => request.socket.destroy(),
      (request, response) => {
        response.writeHead(200, { 'Content-Length': 10 }).write('half', () => {
          work.resolve(undefined);
          request.socket.destroySoon();
        });
      },
    ];
    await using server = new Listening((request, response) => answers.shift()?.(request, response));
    expect(await probeDuring(await server.url(), work.promise)).toMatchObject({ requests: 3, errors: 3 });
  });

  it('fails as the work fails', async () => {
    await using server = new Listening((_request, response) => response.end());
    const failing = Promise.reject(new Error('no disk'));
    await expect(probeDuring(await server.url(), failing)).rejects.toThrow('no disk');
  });
});
