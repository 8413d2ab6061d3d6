import { describe, expect, it } from 'vitest';
import { startAdminServer, type AdminServer } from '../../../support/admin-server.ts';
import { get, head, jsonOf, open } from '../../../support/http.ts';
import { mistakesInView } from '../../../support/openapi.ts';
import { RawConnection } from '../../../support/raw-http.ts';
import type { ScriptedAdministration } from '../../../support/scripted-administration.ts';
import { NOW } from '../../../support/scripted-content.ts';

const QUICK = { lookMs: 5, stateMs: 5 };
const VIEWS = { state: 'StateView', downloads: 'DownloadView', jobs: 'JobView', troubles: 'TroubleView' };
const ALL = ['downloads', 'jobs', 'troubles', 'state'];

async function listen({ url }: AdminServer): Promise<RawConnection> {
  const connection = await RawConnection.open(url);
  connection.send('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return connection;
}

/** All that came so far, in order. */
function eventsOf(connection: RawConnection): { readonly name: string; readonly data: unknown }[] {
  const matches = connection.received.toString().matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm);
  return [...matches].map(([, name = '', data = '']) => ({ name, data: JSON.parse(data) as unknown }));
}

const namesOf = (connection: RawConnection) => eventsOf(connection).map(({ name }) => name);

/** Until the administration has been asked so often again. */
async function untilAsked(administration: ScriptedAdministration, method: 'state' | 'jobs', more: number) {
  const goal = administration.callsOf(method).length + more;
  await expect.poll(() => administration.callsOf(method).length).toBeGreaterThanOrEqual(goal);
}

/** Until another stream, of the same pace, has looked often enough for one that goes on to have looked as well. */
async function whileAnotherLooks(): Promise<void> {
  await using other = await startAdminServer({ pace: QUICK });
  using connection = await listen(other);
  await untilAsked(other.administration, 'jobs', 10);
  expect(connection.received.length).toBeGreaterThan(0);
}

describe('the event stream', () => {
  it('tells at once how everything is, as documented', async () => {
    await using admin = await startAdminServer();
    using connection = await listen(admin);
    await connection.until(/event: state\ndata: .*\n\n/);
    const text = connection.received.toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toMatch(/^Content-Type: text\/event-stream\r$/m);
    expect(text).toMatch(/^Cache-Control: no-store\r$/m);
    expect(namesOf(connection)).toEqual(ALL);
    for (const { name, data } of eventsOf(connection)) {
      const view = VIEWS[name as keyof typeof VIEWS];
      for (const item of Array.isArray(data) ? data : [data]) expect(mistakesInView(view, item)).toEqual([]);
    }
  });

  it('tells again what has changed, and only that', async () => {
    await using admin = await startAdminServer({ pace: QUICK });
    const { administration } = admin;
    using connection = await listen(admin);
    await connection.until(/event: state\ndata: .*\n\n/);
    administration.content.state = { ...administration.content.state, now: '2026-03-01T12:00:09.000Z' };
    await untilAsked(administration, 'state', 3);
    expect(namesOf(connection)).toEqual(ALL);
    administration.advance('prefetch-1', 1000);
    await connection.until(/event: jobs\ndata: .*"bytes":1000,.*\n\n/);
    administration.actions.setOffline(true);
    await connection.until(/event: state\ndata: .*"isOffline":true.*\n\n/);
    expect(namesOf(connection)).toEqual([...ALL, 'jobs', 'state']);
  });

  it('looks once for all who listen, and not at all when nobody does', async () => {
    await using admin = await startAdminServer({ pace: { lookMs: 3_600_000, stateMs: 3_600_000 } });
    const { administration } = admin;
    const connections: RawConnection[] = [];
    for (let count = 0; count < 3; count += 1) {
      const connection = await listen(admin);
      await connection.until(/event: state\ndata: .*\n\n/);
      expect(namesOf(connection)).toEqual(ALL);
      connections.push(connection);
    }
    expect(administration.callsOf('state')).toHaveLength(1);
    for (const connection of connections) connection[Symbol.dispose]();
    await using quick = await startAdminServer({ administration, pace: QUICK });
    const last = await listen(quick);
    await untilAsked(administration, 'jobs', 2);
    last[Symbol.dispose]();
    await whileAnotherLooks();
    const { length } = administration.calls;
    await whileAnotherLooks();
    expect(administration.calls).toHaveLength(length);
    // Whoever comes next is told how it is then.
    administration.content.downloads = [];
    using next = await listen(quick);
    await next.until(/event: state\ndata: .*\n\n/);
    expect(eventsOf(next)[0]).toEqual({ name: 'downloads', data: [] });
  });

  it('says from time to time that it lives', async () => {
    await using admin = await startAdminServer({ pace: { heartbeatMs: 5 } });
    using connection = await listen(admin);
    await connection.until(/:\n\n.*:\n\n/s);
  });

  it('is for so many and no more; a place is free again when one leaves', async () => {
    await using admin = await startAdminServer({ pace: { maxListeners: 2 } });
    const first = await listen(admin);
    using second = await listen(admin);
    await Promise.all([first, second].map((connection) => connection.until(/event: state/)));
    const refused = await get(`${admin.url}/api/v1/events`);
    expect([refused.status, refused.headers['retry-after'], jsonOf(refused)]).toEqual([
      503,
      '10',
      { error: '2 listen already' },
    ]);
    first[Symbol.dispose]();
    await expect.poll(async () => (await head(`${admin.url}/api/v1/events`)).status).toBe(200);
    using third = await listen(admin);
    await third.until(/event: state/);
  });

  it('tells of all jobs that run, and of the last that ended', async () => {
    await using admin = await startAdminServer();
    const { content } = admin.administration;
    const [job] = content.jobs;
    content.jobs = Array.from({ length: 60 }, (_, index) => {
      return { ...job!, id: String(index), state: index % 20 === 19 ? 'running' : 'succeeded' } as const;
    });
    using connection = await listen(admin);
    await connection.until(/event: state/);
    const told = eventsOf(connection).find(({ name }) => name === 'jobs')?.data as { readonly id: string }[];
    expect(told.map(({ id }) => id)).toEqual(['0', '1', '2', '3', '4', '19', '39', '59']);
  });

  const MEGABYTE = 1024 * 1024;
  const troubleOf = (message: string) => ({ at: NOW, level: 'warn' as const, message });

  it('tells who reads all of it, however much that is', async () => {
    await using admin = await startAdminServer();
    admin.administration.content.troubles = [troubleOf('x'.repeat(16 * MEGABYTE))];
    const stream = await open(`${admin.url}/api/v1/events`);
    const text = (await stream.read(16 * MEGABYTE + 1000)).toString();
    stream.destroy();
    expect([...text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)).toEqual(ALL);
  });

  it('tells who reads slowly less often, and at last how it is then', async () => {
    await using admin = await startAdminServer({ pace: { ...QUICK, stateMs: 3_600_000, heartbeatMs: 5 } });
    const { administration } = admin;
    const stream = await open(`${admin.url}/api/v1/events`);
    const changes = 20;
    for (let change = 1; change <= changes; change += 1) {
      administration.content.troubles = [troubleOf(`${change}:${'x'.repeat(4 * MEGABYTE)}`)];
      await untilAsked(administration, 'jobs', 2);
    }
    let text = '';
    for (let more = 'some'; more !== '' && !text.includes(`"${changes}:`); text += more) {
      more = (await stream.read(MEGABYTE)).toString();
    }
    stream.destroy();
    expect(text.includes(`"${changes}:`)).toBe(true);
    expect(text.match(/^event: troubles$/gm)?.length).toBeLessThan(changes / 2);
    expect(admin.errors).toEqual([]);
  });

  it('ends where it can look no more, and the next one is told so', async () => {
    await using admin = await startAdminServer({ pace: { ...QUICK, stateMs: 3_600_000 } });
    using connection = await listen(admin);
    await connection.until(/event: state/);
    const failure = new Error('the index is broken');
    admin.administration.failure = failure;
    await connection.toEnd();
    expect(admin.errors).toEqual([failure]);
    expect((await get(`${admin.url}/api/v1/events`)).status).toBe(500);
    admin.administration.failure = undefined;
    using again = await listen(admin);
    await again.until(/event: state/);
  });

  it('ends with the server, and looks no more', async () => {
    const admin = await startAdminServer({ pace: QUICK });
    using connection = await listen(admin);
    await connection.until(/event: state/);
    await admin[Symbol.asyncDispose]();
    await connection.toEnd();
    const { length } = admin.administration.calls;
    await whileAnotherLooks();
    expect(admin.administration.calls).toHaveLength(length);
  });
});
