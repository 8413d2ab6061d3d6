import { getEventListeners, once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { RegistryUpstream } from '../../../src/upstream/registry-upstream.ts';
import type { ExchangeEvent } from '../../../src/upstream/transport.ts';
import { bytesOf } from '../../support/bodies.ts';
import { IMAGE, REPOSITORY, TAG, connect, connected, failure, never, type Connected } from './connect.ts';

const resolve = (its: Connected, signal = never()) => its.upstream.resolve(REPOSITORY, TAG, signal);

async function listening(server: Server | HttpServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function asDisposable(upstream: RegistryUpstream): RegistryUpstream & AsyncDisposable {
  return Object.assign(upstream, { [Symbol.asyncDispose]: () => upstream.close() });
}

describe('the connections of RegistryUpstream', () => {
  it('are no more than allowed, and are used again, also behind a HEAD', async () => {
    await using its = await connected({}, { maxConnections: 2 });
    await resolve(its);
    const gate = its.registry.hold({ kind: 'manifest' }, { times: 6 });
    const all = Promise.all(Array.from({ length: 6 }, () => resolve(its)));
    await gate.arrived(2);
    expect(its.registry.connections('registry')).toBe(2);
    gate.release();
    await all;
    expect(its.registry.connections('registry')).toBe(2);
  });

  it('carry a question while blobs fill all that are for them', async () => {
    await using its = await connected({ cdn: false }, { maxConnections: 1 });
    const digest = its.registry.pushBlob(REPOSITORY, Buffer.alloc(1_000_000, 'x'));
    const gate = its.registry.hold({ kind: 'blob', method: 'GET' }, { afterBytes: 10 });
    const blob = await its.upstream.fetchBlob(REPOSITORY, digest, 0, never());
    await gate.waiting;
    expect(await resolve(its)).toBeDefined();
    gate.release();
    blob?.body.destroy();
  });

  it('are not held by a challenge while its token is fetched', async () => {
    await using its = await connected({}, { maxConnections: 1 });
    expect(await Promise.all([resolve(its), resolve(its), resolve(its)])).toHaveLength(3);
  });

  it.each([404, 403, 500])('are free again after a %d', async (status) => {
    await using its = await connected({}, { maxConnections: 1 });
    const body = Buffer.alloc(1_000_000, 'x');
    its.registry.reply({ kind: 'blob' }, { status, body });
    await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never()).catch(() => undefined);
    expect(await resolve(its)).toBeDefined();
  });

  it.each([201, 204, 206])('are free again after a %d that nobody reads', async (status) => {
    await using its = await connected({}, { maxConnections: 1 });
    const body = Buffer.alloc(1_000_000, 'x');
    its.registry.reply({ kind: 'manifest', method: 'GET' }, { status, body });
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('protocol'),
    );
    expect(await resolve(its)).toBeDefined();
  });

  it('are free again after a blob or a page that nobody wanted', async () => {
    await using its = await connected({}, { maxConnections: 1 });
    const digest = its.registry.pushBlob(REPOSITORY, Buffer.alloc(1_000_000, 'x'));
    its.registry.reply({ kind: 'blob', method: 'HEAD' }, { status: 405 }, 2);
    its.registry.fault({ kind: 'cdn' }, { ignoresRange: true }, 2);
    expect(await its.upstream.statBlob(REPOSITORY, digest, never())).toEqual({ size: 1_000_000 });
    expect(await its.upstream.statBlob(REPOSITORY, digest, never())).toEqual({ size: 1_000_000 });

    const body = Buffer.alloc(1_000_000, 'x');
    its.registry.reply({ kind: 'referrers' }, { status: 200, body });
    const subject = IMAGE.manifest.digest;
    expect(await its.upstream.listReferrers(REPOSITORY, subject, never())).toBeUndefined();
    expect(await resolve(its)).toBeDefined();
  });

  it('may be closed by upstream just when one is used again', async () => {
    const sockets = new Set<Socket>();
    const server = createHttpServer((request, response) => {
      if (sockets.has(request.socket)) {
        request.socket.end();
        return;
      }
      sockets.add(request.socket);
      response.writeHead(404).end();
    });
    await using upstream = asDisposable(connect({ url: `http://127.0.0.1:${await listening(server)}` }));
    for (let round = 0; round < 3; round++) {
      expect(await upstream.resolve(REPOSITORY, TAG, never())).toBeUndefined();
    }
    expect(sockets.size).toBe(3);
    server.close();
  });

  it('leave upstream unreachable where there are none', async () => {
    await using its = await connected();
    await its.registry.stop();
    await expect(resolve(its)).rejects.toMatchObject({
      ...failure('unreachable', /^HEAD library\/alpine\/manifests\/3 from 127\.0\.0\.1:\d+: .*ECONNREFUSED/),
      cause: expect.objectContaining({ code: 'ECONNREFUSED' }) as Error,
    });
    await its.registry.restart();
    expect(await resolve(its)).toBeDefined();
  });

  it('leave upstream unreachable where its name is none', async () => {
    await using upstream = asDisposable(connect({ url: 'http://registry.invalid' }));
    await expect(upstream.resolve(REPOSITORY, TAG, never())).rejects.toMatchObject(failure('unreachable'));
  });

  it('have a time to be made in', async () => {
    // It takes the TCP connection, and never says a word of TLS.
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    const url = `https://127.0.0.1:${await listening(silent)}`;
    await using upstream = asDisposable(connect({ url }, { connectTimeoutMs: 50 }));
    await expect(upstream.resolve(REPOSITORY, TAG, never())).rejects.toMatchObject({
      ...failure('unreachable'),
      cause: expect.objectContaining({ code: 'UND_ERR_CONNECT_TIMEOUT' }) as Error,
    });
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('have a time to answer in', async () => {
    await using its = await connected({}, { headersTimeoutMs: 50 });
    its.registry.fault({ kind: 'manifest' }, { stall: {} });
    await expect(resolve(its)).rejects.toMatchObject({
      ...failure('unreachable'),
      cause: expect.objectContaining({ code: 'UND_ERR_HEADERS_TIMEOUT' }) as Error,
    });
  });

  it('have a time to be silent in', async () => {
    await using its = await connected({}, { bodyTimeoutMs: 50 });
    its.registry.fault({ kind: 'manifest', method: 'GET' }, { stall: { afterBytes: 10 } });
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('unreachable', /broke off/),
    );
  });

  it('that speak no HTTP are a fault of upstream', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-OpenSSH\r\n'));
    await using upstream = asDisposable(connect({ url: `http://127.0.0.1:${await listening(server)}` }));
    await expect(upstream.resolve(REPOSITORY, TAG, never())).rejects.toMatchObject(failure('protocol'));
    server.close();
  });

  it('end with close()', async () => {
    await using its = await connected();
    const gate = its.registry.hold({ kind: 'manifest' });
    const running = resolve(its);
    await gate.waiting;
    await its.upstream.close();
    await expect(running).rejects.toMatchObject(failure('unreachable'));
    await expect(resolve(its)).rejects.toMatchObject(failure('unreachable'));
    await its.upstream.close();
  });
});

describe('an aborted signal', () => {
  it('ends the wait for an answer, with its reason', async () => {
    await using its = await connected();
    const gate = its.registry.hold({ kind: 'manifest' });
    const leaver = new AbortController();
    const leaving = resolve(its, leaver.signal);
    await gate.waiting;
    const reason = new Error('gone');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
  });

  it('ends the wait for a connection that others have', async () => {
    await using its = await connected({ auth: 'none' }, { maxConnections: 1 });
    const gate = its.registry.hold({ kind: 'manifest' });
    const first = resolve(its);
    await gate.waiting;
    const leaver = new AbortController();
    const leaving = resolve(its, leaver.signal);
    const reason = new Error('gone');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    gate.release();
    await first;
    expect(await resolve(its)).toBeDefined();
    expect(its.registry.count()).toBe(2);
  });

  it('ends the wait for a manifest that is half here', async () => {
    const answered = Promise.withResolvers<ExchangeEvent>();
    const observe = (event: ExchangeEvent) => event.status === 200 && answered.resolve(event);
    await using its = await connected({ auth: 'none' }, { observe });
    its.registry.fault({ kind: 'manifest' }, { stall: { afterBytes: 10 } });
    const leaver = new AbortController();
    const leaving = its.upstream.fetchManifest(REPOSITORY, TAG, leaver.signal);
    await answered.promise;
    await new Promise(setImmediate);
    const reason = new Error('gone');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
  });

  it('ends the wait for the page of an error, with its reason', async () => {
    const answered = Promise.withResolvers<ExchangeEvent>();
    const observe = (event: ExchangeEvent) => event.status === 404 && answered.resolve(event);
    await using its = await connected({ auth: 'none' }, { observe });
    const reply = { status: 404, body: Buffer.alloc(1000) };
    its.registry.fault({ kind: 'blob', method: 'GET' }, { reply, stall: { afterBytes: 10 } });
    const leaver = new AbortController();
    const leaving = its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, leaver.signal);
    await answered.promise;
    await new Promise(setImmediate);
    const reason = new Error('gone');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
  });

  it('is listened to for as long as it takes, and no longer', async () => {
    await using its = await connected();
    const { signal } = new AbortController();
    await resolve(its, signal);
    await its.upstream.fetchManifest(REPOSITORY, TAG, signal);
    await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, signal);
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await bytesOf(blob!.body);
    await new Promise(setImmediate);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('lets nothing be asked at all', async () => {
    await using its = await connected();
    const reason = new Error('gone');
    await expect(resolve(its, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(its.registry.requests).toEqual([]);
  });
});

describe('the events of RegistryUpstream', () => {
  it('tell of each exchange, with every host', async () => {
    const events: ExchangeEvent[] = [];
    await using its = await connected({}, { observe: (event) => events.push(event) });
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    blob?.body.destroy();
    await its.registry.stop();
    await resolve(its).catch(() => undefined);
    await resolve(its, AbortSignal.abort()).catch(() => undefined);
    const hostOf = (url: string) => new URL(url).host;
    const { url, tokenUrl, cdnUrl } = its.registry;
    const event = { failure: undefined, durationMs: expect.any(Number) as number };
    expect(events).toEqual([
      { ...event, kind: 'blob', method: 'GET', host: hostOf(url), status: 401 },
      { ...event, kind: 'token', method: 'GET', host: hostOf(tokenUrl), status: 200 },
      { ...event, kind: 'blob', method: 'GET', host: hostOf(url), status: 307 },
      { ...event, kind: 'blob', method: 'GET', host: hostOf(cdnUrl), status: 200 },
      {
        ...event,
        kind: 'manifest',
        method: 'HEAD',
        host: hostOf(url),
        status: undefined,
        failure: 'unreachable',
      },
    ]);
  });

  it('tell of one whose client has left', async () => {
    const events: ExchangeEvent[] = [];
    await using its = await connected({}, { observe: (event) => events.push(event) });
    const held = its.registry.hold({ kind: 'manifest' });
    const leaver = new AbortController();
    const leaving = resolve(its, leaver.signal);
    await held.waiting;
    leaver.abort();
    await expect(leaving).rejects.toThrow();
    expect(events.at(-1)).toMatchObject({ kind: 'manifest', status: undefined, failure: 'aborted' });
  });
});
