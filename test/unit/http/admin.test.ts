import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startAdminServer, type AdminServer, type AdminServerOptions } from '../../support/admin-server.ts';
import { get, head, jsonOf, request } from '../../support/http.ts';

const TEXT_OF_NOTHING = { error: expect.stringContaining('there is nothing here') as string };

describe('/readyz', () => {
  async function readiness(faults: readonly string[], warnings: readonly string[]) {
    await using admin = await startAdminServer({
      findFaults: () => Promise.resolve(faults),
      findWarnings: () => Promise.resolve(warnings),
    });
    const answer = await get(`${admin.url}/readyz`);
    return [answer.status, jsonOf(answer)];
  }

  it('stays 200 for what is wrong while requests can be served, and is 503 when they can not', async () => {
    expect(await readiness([], [])).toEqual([200, { status: 'ok', faults: [], warnings: [] }]);
    expect(await readiness([], ['the disk is full'])).toEqual([
      200,
      { status: 'degraded', faults: [], warnings: ['the disk is full'] },
    ]);
    expect(await readiness(['it is shutting down'], ['the disk is full'])).toEqual([
      503,
      { status: 'not ready', faults: ['it is shutting down'], warnings: ['the disk is full'] },
    ]);
  });
});

describe('the admin listener', () => {
  let admin: AdminServer;
  const options: AdminServerOptions = {};
  beforeEach(async () => {
    admin = await startAdminServer(options);
    return () => admin[Symbol.asyncDispose]();
  });
  afterEach(() => expect(admin.errors).toEqual([]));

  it.each(['/healthz', '/readyz', '/metrics', '/api/v1/access', '/api/v1/state', '/api/v1/events', '/'])(
    'answers HEAD of %s as it would GET, without a body',
    async (path) => {
      const answer = await head(admin.url + path);
      expect([answer.status, answer.body.length]).toEqual([200, 0]);
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
    },
  );

  it('lets nobody keep an answer of the API', async () => {
    for (const path of ['/api/v1/state', '/api/v1/manifest?reference=nothing', '/api/v1/jobs/nothing']) {
      expect((await get(admin.url + path)).headers['cache-control']).toBe('no-store');
    }
  });

  it.each(['/api', '/api/v1', '/api/v1/', '/api/v1/state/', '/API/v1/state', '/api/v2/state', '/v2/'])(
    'says in JSON that there is nothing at %s',
    async (path) => {
      const answer = await get(admin.url + path);
      expect([answer.status, jsonOf(answer)]).toEqual([404, TEXT_OF_NOTHING]);
      expect(answer.headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
    },
  );

  it('says the same of a path that is wrongly escaped', async () => {
    const answer = await get(`${admin.url}/api/v1/jobs/%E0%A4%A`);
    expect([answer.status, jsonOf(answer)]).toEqual([404, TEXT_OF_NOTHING]);
  });

  it.each([
    ['OPTIONS', '/api/v1/purge', 'POST'],
    ['GET', '/api/v1/purge', 'POST'],
    ['POST', '/api/v1/state', 'GET, HEAD'],
    ['PATCH', '/api/v1/pins', 'GET, HEAD, POST, DELETE'],
    ['TRACE', '/api/v1/jobs/1', 'GET, HEAD, DELETE'],
    ['POST', '/metrics', 'GET, HEAD'],
  ])('refuses %s of %s with 405 and what it has', async (method, path, allow) => {
    const answer = await request(admin.url + path, { method });
    expect([answer.status, answer.headers.allow]).toEqual([405, allow]);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

describe('an administration that breaks', () => {
  it('is a 500 that says nothing of why, and is reported', async () => {
    await using admin = await startAdminServer();
    const failure = new Error('the password hunter2 is in this one');
    admin.administration.failure = failure;
    for (const path of ['/api/v1/state', '/api/v1/jobs', '/api/v1/events']) {
      const answer = await get(admin.url + path);
      expect([answer.status, jsonOf(answer)]).toEqual([
        500,
        { error: 'the mirror failed; its log has the reason' },
      ]);
    }
    expect(admin.errors).toEqual([failure, failure, failure]);
  });
});
