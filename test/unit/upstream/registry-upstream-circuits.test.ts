import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { within } from '../../../src/repository/deadline.ts';
import type { CircuitChange } from '../../../src/upstream/circuits.ts';
import type { ExchangeEvent } from '../../../src/upstream/transport.ts';
import { UpstreamError, type Upstream } from '../../../src/upstream/upstream.ts';
import { bytesOf } from '../../support/bodies.ts';
import { movableClock } from '../../support/clock.ts';
import type { ScriptedUpstreamOptions } from '../../support/scripted-upstream.ts';
import { errorReply } from '../../support/scripted-upstream-reply.ts';
import {
  IMAGE,
  REPOSITORY,
  TAG,
  connect,
  connected,
  failure,
  never,
  type ConnectOptions,
  type Connected,
} from './connect.ts';

const HEAD = { kind: 'manifest', method: 'HEAD' } as const;
const resolve = (its: { readonly upstream: Upstream }, signal = never()) =>
  its.upstream.resolve(REPOSITORY, TAG, signal);
const fetchManifest = (its: Connected) => its.upstream.fetchManifest(REPOSITORY, TAG, never());
const fetchBlob = (its: Connected, signal = never()) =>
  its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, signal);
const hostOf = (url: string) => new URL(url).host;
/** What `rejects` finds of a request that was not sent. */
const leftAlone = (retryAfterSeconds: number) => ({
  ...failure('unreachable', /: it has not answered since \d{4}-\d\d-\d\dT.*Z; it is asked again in \d+ s$/),
  retryAfterSeconds,
});

/** With a clock that the test moves, no jitter, and all that is told on the way. */
function watched(options: ConnectOptions = {}) {
  const clock = movableClock();
  const changes: CircuitChange[] = [];
  const events: ExchangeEvent[] = [];
  const watching: ConnectOptions = {
    now: clock.now,
    random: () => 0,
    onCircuit: (change) => changes.push(change),
    observe: (event) => events.push(event),
    ...options,
  };
  return { clock, changes, events, watching };
}

async function watchedUpstream(scripted: ScriptedUpstreamOptions = {}, options: ConnectOptions = {}) {
  const { watching, ...watch } = watched(options);
  const its = await connected({ auth: 'none', ...scripted }, watching);
  return { ...its, ...watch };
}

/** Each after the other, so that they are in a row. */
async function failTimes(times: number, ask: () => Promise<unknown>): Promise<void> {
  for (let time = 0; time < times; time++) await expect(ask()).rejects.toBeInstanceOf(UpstreamError);
}

async function refusingHost(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

/** A host that takes every connection, and never says a word. */
async function silentHost() {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a host that does not answer', () => {
  it('is left alone after the third time, and asked again by one when its time is over', async () => {
    await using its = await watchedUpstream();
    const { url } = its.registry;
    await its.registry.stop();
    await failTimes(3, () => resolve(its));
    expect(its.upstream.circuits).toEqual([{ host: hostOf(url), state: 'open' }]);
    await its.registry.restart();
    its.clock.pass(1000);
    await expect(resolve(its)).rejects.toMatchObject({
      ...leftAlone(4),
      cause: expect.objectContaining({ message: expect.stringContaining('ECONNREFUSED') as string }) as Error,
    });
    expect(its.registry.requests).toEqual([]);

    its.clock.pass(4000);
    const gate = its.registry.hold(HEAD);
    const probe = resolve(its);
    await gate.waiting;
    expect(its.upstream.circuits).toEqual([{ host: hostOf(url), state: 'half-open' }]);
    await expect(resolve(its)).rejects.toMatchObject(leftAlone(1));
    gate.release();
    expect(await probe).toBeDefined();
    expect(await resolve(its)).toBeDefined();
    expect(its.registry.count()).toBe(2);
    expect(its.changes.map(({ host, state }) => [host, state])).toEqual(
      ['open', 'half-open', 'closed'].map((state) => [hostOf(url), state]),
    );
  });

  it('is told of by the reason why it was given up, and by events that say that it was not asked', async () => {
    await using its = await watchedUpstream();
    await its.registry.stop();
    await failTimes(4, () => resolve(its));
    expect(its.changes).toEqual([
      {
        host: hostOf(its.registry.url),
        state: 'open',
        openForMs: 5000,
        cause: expect.objectContaining(failure('unreachable', /^HEAD .*ECONNREFUSED/)) as Error,
      },
    ]);
    expect(its.events.map((event) => event.failure)).toEqual([
      ...Array.from({ length: 3 }, () => 'unreachable'),
      'circuit-open',
    ]);
    expect(its.events.at(-1)).toMatchObject({ kind: 'manifest', method: 'HEAD', status: undefined });
  });

  it('is left alone for longer where its probe fails too', async () => {
    await using its = await watchedUpstream();
    await its.registry.stop();
    await failTimes(3, () => resolve(its));
    its.clock.pass(5000);
    await failTimes(1, () => resolve(its));
    await its.registry.restart();
    its.clock.pass(9999);
    await expect(resolve(its)).rejects.toMatchObject(leftAlone(1));
    its.clock.pass(1);
    expect(await resolve(its)).toBeDefined();
  });

  it('is probed by the next where the probing client leaves', async () => {
    await using its = await watchedUpstream();
    await its.registry.stop();
    await failTimes(3, () => resolve(its));
    await its.registry.restart();
    its.clock.pass(5000);
    const gate = its.registry.hold(HEAD, { times: 1 });
    const leaver = new AbortController();
    const leaving = resolve(its, leaver.signal);
    await gate.waiting;
    leaver.abort(new Error('gone'));
    await expect(leaving).rejects.toThrow('gone');
    expect(await resolve(its)).toBeDefined();
  });

  it.each(['token service', 'CDN'])(
    'is left alone for itself, and not its registry with it: a %s',
    async (which) => {
      const away = await refusingHost();
      await using its = await watchedUpstream(which === 'CDN' ? {} : { auth: 'bearer' });
      if (which === 'CDN') {
        const reply = { status: 307, headers: { location: `http://${away}/` } };
        its.registry.reply({ kind: 'blob' }, reply, 4);
      } else {
        const challenge = `Bearer realm="http://${away}/token"`;
        const reply = errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': challenge });
        its.registry.reply({ kind: 'blob', status: 401 }, reply, 4);
      }
      await failTimes(3, () => fetchBlob(its));
      await expect(fetchBlob(its)).rejects.toMatchObject(leftAlone(5));
      expect(its.changes).toMatchObject([{ host: away, state: 'open' }]);
      const other = parseRepositoryName('team/other');
      its.registry.push(other, '3', IMAGE);
      expect(await its.upstream.resolve(other, TAG, never())).toBeDefined();
    },
  );
});

describe('not to answer', () => {
  it('is to have no name', async () => {
    const { watching, changes } = watched();
    const upstream = connect({ url: 'http://registry.invalid' }, watching);
    await failTimes(3, () => resolve({ upstream }));
    expect(changes).toMatchObject([{ host: 'registry.invalid', state: 'open' }]);
    await upstream.close();
  });

  it('is to take the connection and say nothing, longer than headers may take', async () => {
    const silent = await silentHost();
    const { watching, changes } = watched({ headersTimeoutMs: 50 });
    const upstream = connect({ url: `http://${silent.host}` }, watching);
    await failTimes(3, () => resolve({ upstream }));
    expect(changes).toMatchObject([{ host: silent.host, state: 'open' }]);
    await upstream.close();
    await silent.close();
  });

  it.each(['http', 'https'])('is to say nothing for as long as who asks can wait, by %s', async (scheme) => {
    // By https the connection never comes about.
    const silent = await silentHost();
    const { watching, changes, events } = watched();
    const upstream = connect({ url: `${scheme}://${silent.host}` }, watching);
    await failTimes(3, () => within(20, never(), (until) => resolve({ upstream }, until)));
    expect(changes).toMatchObject([
      { state: 'open', cause: expect.objectContaining(failure('unreachable', /no answer within/)) as Error },
    ]);
    expect(events.map((event) => event.failure)).toEqual(Array.from({ length: 3 }, () => 'unreachable'));
    await upstream.close();
    await silent.close();
  });

  it('is to say nothing to them while others still wait', async () => {
    await using its = await watchedUpstream();
    const gate = its.registry.hold(HEAD, { times: 4 });
    const patient = resolve(its);
    await gate.waiting;
    for (const arrivals of [2, 3, 4]) {
      const deadline = new AbortController();
      const asked = resolve(its, deadline.signal);
      await gate.arrived(arrivals);
      deadline.abort(new UpstreamError('unreachable', 'no answer in time'));
      await expect(asked).rejects.toThrow('no answer in time');
    }
    expect(its.changes).toMatchObject([{ state: 'open' }]);
    gate.release();
    expect(await patient).toBeDefined();
    expect(its.changes).toMatchObject([{ state: 'open' }, { state: 'closed' }]);
  });

  it.each([502, 503, 504])('is to answer a question with %d', async (status) => {
    await using its = await watchedUpstream();
    its.registry.reply(HEAD, { status }, 3);
    await failTimes(3, () => resolve(its));
    await expect(resolve(its)).rejects.toMatchObject(leftAlone(5));
    expect(its.changes).toMatchObject([
      {
        state: 'open',
        cause: expect.objectContaining(failure('unreachable', new RegExp(`: ${status}$`))) as Error,
      },
    ]);
  });

  it.each([400, 403, 404, 408, 429, 500])(
    'is not to answer with %d, which counts as any answer',
    async (status) => {
      await using its = await watchedUpstream();
      for (const answer of [503, 503, status, 503, 503, status])
        its.registry.reply({ kind: 'tags' }, { status: answer });
      for (let time = 0; time < 6; time++) {
        await its.upstream.listTags(REPOSITORY, never()).catch(() => undefined);
      }
      expect(its.registry.count()).toBe(6);
      expect(its.changes).toEqual([]);
    },
  );

  it('is not to have lost one blob, which shows nothing of the others', async () => {
    await using its = await watchedUpstream({ cdn: false });
    its.registry.reply({ kind: 'blob' }, { status: 503 }, 4);
    await failTimes(3, () => fetchBlob(its));
    expect(its.changes).toEqual([]);

    its.registry.reply(HEAD, { status: 503 }, 3);
    await failTimes(2, () => resolve(its));
    await failTimes(1, () => fetchBlob(its));
    await failTimes(1, () => resolve(its));
    expect(its.changes).toMatchObject([{ state: 'open' }]);
  });

  it('is not to break off in the middle of a body', async () => {
    await using its = await watchedUpstream();
    its.registry.fault({ kind: 'manifest', method: 'GET' }, { cut: { by: 'rst', afterBytes: 10 } }, 4);
    await failTimes(4, () => fetchManifest(its));
    expect(its.changes).toEqual([]);
  });

  it('is not to speak no HTTP', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-OpenSSH\r\n'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { watching, changes } = watched();
    const upstream = connect({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, watching);
    for (let time = 0; time < 4; time++) {
      await expect(resolve({ upstream })).rejects.toMatchObject(failure('protocol'));
    }
    expect(changes).toEqual([]);
    await upstream.close();
    server.close();
  });

  it('is not to be asked by clients who leave', async () => {
    await using its = await watchedUpstream();
    const gate = its.registry.hold({ kind: 'manifest' }, { times: 4 });
    const leaver = new AbortController();
    const all = Promise.allSettled(Array.from({ length: 4 }, () => resolve(its, leaver.signal)));
    await gate.arrived(4);
    leaver.abort();
    await all;
    expect(its.changes).toEqual([]);
  });

  it('is not to be waited for behind others of ours that have all connections', async () => {
    await using its = await watchedUpstream({ cdn: false }, { maxConnections: 1 });
    const gate = its.registry.hold({ kind: 'blob', method: 'GET' }, { afterBytes: 10 });
    const blob = await fetchBlob(its);
    await gate.waiting;
    await failTimes(4, () => within(20, never(), (until) => fetchBlob(its, until)));
    expect(its.changes).toEqual([]);
    gate.release();
    expect(await bytesOf(blob!.body)).toHaveLength(IMAGE.config.bytes.length);
    const next = await fetchBlob(its);
    expect(await bytesOf(next!.body)).toHaveLength(IMAGE.config.bytes.length);
    expect(its.registry.count()).toBe(2);
  });

  it('is not to be cut off by our own end', async () => {
    await using its = await watchedUpstream();
    const gate = its.registry.hold({ kind: 'manifest' }, { times: 4 });
    const all = Promise.allSettled(Array.from({ length: 4 }, () => resolve(its)));
    await gate.arrived(4);
    await its.upstream.close();
    await all;
    await failTimes(4, () => resolve(its));
    expect(its.changes).toEqual([]);
  });
});

describe('a 429 with a time', () => {
  const tooMany = (retryAfter?: string) =>
    errorReply(429, 'TOOMANYREQUESTS', 'slow', retryAfter === undefined ? {} : { 'retry-after': retryAfter });
  const limited = (retryAfterSeconds: number) => ({ ...failure('rate-limited'), retryAfterSeconds });

  it('is an answer to all that is asked in the same way until the time is over', async () => {
    await using its = await watchedUpstream();
    its.registry.reply({ kind: 'manifest', method: 'GET' }, tooMany('30'));
    await expect(fetchManifest(its)).rejects.toMatchObject(limited(30));
    its.clock.pass(10_001);
    await expect(fetchManifest(its)).rejects.toMatchObject({
      ...failure('rate-limited', /^GET .* not asked, because it allows no more of this for another 20 s$/),
      retryAfterSeconds: 20,
    });
    expect(its.registry.count()).toBe(1);
    expect(its.events.at(-1)).toMatchObject({ method: 'GET', status: undefined, failure: 'paused' });
    its.clock.pass(19_999);
    expect(await fetchManifest(its)).toBeDefined();
  });

  it('does not stop what is asked in another way', async () => {
    await using its = await watchedUpstream();
    its.registry.reply({ kind: 'manifest', method: 'GET' }, tooMany('30'));
    await expect(fetchManifest(its)).rejects.toMatchObject(limited(30));
    expect(await resolve(its)).toBeDefined();
    expect(await fetchBlob(its)).toBeDefined();
    expect(await its.upstream.listTags(REPOSITORY, never())).toEqual(['3']);
  });

  it('stops nobody for more than five minutes, who are told of all of it all the same', async () => {
    await using its = await watchedUpstream();
    its.registry.reply({ kind: 'manifest', method: 'GET' }, tooMany('3600'));
    await expect(fetchManifest(its)).rejects.toMatchObject(limited(3600));
    its.clock.pass(299_000);
    await expect(fetchManifest(its)).rejects.toMatchObject(limited(3301));
    its.clock.pass(1000);
    expect(await fetchManifest(its)).toBeDefined();
  });

  it('may have it as a date', async () => {
    await using its = await watchedUpstream();
    its.clock.pass(3_600_000);
    const date = new Date(its.clock.now() + 60_000).toUTCString();
    its.registry.reply({ kind: 'manifest', method: 'GET' }, tooMany(date));
    await expect(fetchManifest(its)).rejects.toMatchObject(failure('rate-limited'));
    its.clock.pass(50_000);
    await expect(fetchManifest(its)).rejects.toMatchObject(failure('rate-limited'));
    expect(its.registry.count()).toBe(1);
    its.clock.pass(11_000);
    expect(await fetchManifest(its)).toBeDefined();
  });

  it.each([undefined, '0', 'soon'])('is remembered only where that is a time: not %s', async (retryAfter) => {
    await using its = await watchedUpstream();
    its.registry.reply({ kind: 'manifest', method: 'GET' }, tooMany(retryAfter));
    await expect(fetchManifest(its)).rejects.toMatchObject(failure('rate-limited'));
    expect(await fetchManifest(its)).toBeDefined();
  });
});
