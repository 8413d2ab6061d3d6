import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startAdminServer, type AdminServer } from '../../../support/admin-server.ts';
import { get, jsonOf, request } from '../../../support/http.ts';
import { sendRaw } from '../../../support/raw-http.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const TOKEN = 'correct-horse-battery-staple';
const JSON_TYPE = { 'content-type': 'application/json' };

interface Asking {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const bearer = (token: string | undefined) =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };

/** What becomes of a read, and of a change. */
async function outcomes(admin: AdminServer, { token, headers = {} }: Asking = {}): Promise<number[]> {
  const read = await get(`${admin.url}/api/v1/state`, { headers: { ...bearer(token), ...headers } });
  return [read.status, (await change(admin, { ...bearer(token), ...headers })).status];
}

function change(admin: AdminServer, headers: Readonly<Record<string, string>>) {
  const body = '{"offline":true}';
  return request(`${admin.url}/api/v1/offline`, {
    method: 'PUT',
    headers: { ...JSON_TYPE, ...headers },
    body,
  });
}

const accessOf = async ({ url }: AdminServer, headers = {}) =>
  jsonOf(await get(`${url}/api/v1/access`, { headers }));

describe('a loopback listener', () => {
  it.each(['127.0.0.1', '127.9.8.7', '::1', 'localhost'])(
    'on %s lets everybody on the machine see and do all while there is no token',
    async (listenHost) => {
      await using admin = await startAdminServer({ listenHost });
      expect(await outcomes(admin)).toEqual([200, 204]);
      expect(await accessOf(admin)).toEqual({ reads: 'open', changes: 'open' });
    },
  );

  it('wants the token for changes where there is one', async () => {
    await using admin = await startAdminServer({ token: TOKEN });
    expect(await outcomes(admin)).toEqual([200, 401]);
    expect(await outcomes(admin, { token: 'wrong-horse-battery-staple' })).toEqual([200, 401]);
    expect(admin.administration.callsOf('setOffline')).toEqual([]);
    expect(await outcomes(admin, { token: TOKEN })).toEqual([200, 204]);
    expect(await accessOf(admin)).toEqual({ reads: 'open', changes: 'token' });
  });

  it.each(['localhost', 'LOCALHOST:5001', '127.0.0.1', '127.0.0.2:80', '[::1]:5001'])(
    'may be asked as %s',
    async (host) => {
      await using admin = await startAdminServer();
      expect(await outcomes(admin, { headers: { host } })).toEqual([200, 204]);
    },
  );

  it.each([
    'evil.example',
    'localhost.evil.example:5001',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    'a@localhost',
  ])('may not be asked as %j: a name of somebody else may lead to it', async (host) => {
    await using admin = await startAdminServer();
    expect(await outcomes(admin, { headers: { host } })).toEqual([403, 403]);
    expect((await get(`${admin.url}/api/v1/access`, { headers: { host } })).status).toBe(403);
    expect(admin.administration.calls).toEqual([]);
    // Which have no secrets, and are asked by whatever name the prober has.
    expect((await get(`${admin.url}/healthz`, { headers: { host } })).status).toBe(200);
    expect((await get(`${admin.url}/metrics`, { headers: { host } })).status).toBe(200);
  });

  it('may not be asked without a Host', async () => {
    await using admin = await startAdminServer();
    const [answer] = await sendRaw(admin.url, 'GET /api/v1/state HTTP/1.0\r\n\r\n');
    expect(answer?.status).toBe(403);
  });

  it.each([
    { 'x-forwarded-for': '203.0.113.5' },
    { 'x-forwarded-host': 'mirror.example' },
    { forwarded: 'for=203.0.113.5' },
    { 'x-real-ip': '203.0.113.5' },
    { via: '1.1 proxy' },
  ])('is open to nobody who comes through a proxy, as told by %j, without a token', async (headers) => {
    await using admin = await startAdminServer();
    expect(await outcomes(admin, { headers })).toEqual([403, 403]);
    expect(admin.administration.calls).toEqual([]);
    await using guarded = await startAdminServer({ token: TOKEN });
    expect(await outcomes(guarded, { headers })).toEqual([401, 401]);
    expect(await outcomes(guarded, { headers, token: TOKEN })).toEqual([200, 204]);
  });

  it('asked by another name, as behind a proxy, wants the token for everything', async () => {
    await using admin = await startAdminServer({ token: TOKEN });
    const headers = { host: 'mirror.example' };
    expect(await accessOf(admin, headers)).toEqual({ reads: 'token', changes: 'token' });
    expect(await outcomes(admin, { headers })).toEqual([401, 401]);
    expect(await outcomes(admin, { headers, token: TOKEN })).toEqual([200, 204]);
  });
});

describe('a listener that others can reach', () => {
  const listenHost = '0.0.0.0';

  it('shows all and changes nothing while there is no token, and says which setting is missing', async () => {
    await using admin = await startAdminServer({ listenHost });
    expect(await outcomes(admin, { headers: { host: 'mirror' } })).toEqual([200, 403]);
    expect(await outcomes(admin, { token: TOKEN })).toEqual([200, 403]);
    expect(await accessOf(admin)).toEqual({ reads: 'open', changes: 'refused' });
    expect(jsonOf(await change(admin, {}))).toEqual({
      error: expect.stringContaining('admin.token (ENTREPOT_ADMIN_TOKEN)') as string,
    });
    expect(admin.administration.callsOf('setOffline')).toEqual([]);
  });

  it.each([
    ['192.0.2.7:5001', 200],
    ['[2001:db8::1]:5001', 200],
    ['mirror:5001', 200],
    ['localhost', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example:5001', 403],
    ['mirror.', 403],
  ])('asked as %s while there is no token, it answers a read with %i', async (host, status) => {
    await using admin = await startAdminServer({ listenHost });
    expect((await outcomes(admin, { headers: { host } }))[0]).toBe(status);
    await using guarded = await startAdminServer({ listenHost, token: TOKEN });
    expect((await outcomes(guarded, { headers: { host }, token: TOKEN }))[0]).toBe(200);
  });

  it('wants the token for everything where there is one', async () => {
    await using admin = await startAdminServer({ listenHost, token: TOKEN });
    expect(await accessOf(admin)).toEqual({ reads: 'token', changes: 'token' });
    expect(await outcomes(admin)).toEqual([401, 401]);
    expect(await outcomes(admin, { token: TOKEN.slice(0, -1) })).toEqual([401, 401]);
    expect(await outcomes(admin, { token: `${TOKEN}x` })).toEqual([401, 401]);
    expect(admin.administration.calls).toEqual([]);
    expect(await outcomes(admin, { token: TOKEN })).toEqual([200, 204]);
    for (const path of ['/healthz', '/readyz', '/metrics', '/', '/api/v1/access']) {
      expect((await get(admin.url + path)).status).toBe(200);
    }
  });
});

describe('the token', () => {
  it('is asked for in the way of RFC 6750, without showing it', async () => {
    await using admin = await startAdminServer({ token: TOKEN });
    for (const headers of [{}, bearer('wrong-horse-battery-staple'), { authorization: `Basic ${TOKEN}` }]) {
      const answer = await change(admin, headers);
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer realm="entrepot"']);
      expect(answer.body.toString()).not.toContain(TOKEN);
    }
    expect((await change(admin, { authorization: `bearer ${TOKEN}` })).status).toBe(204);
  });

  it('is read from its file whenever it is needed; a file that holds none lets nobody in', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'token');
    await writeFile(file, `${TOKEN}\n`);
    await using admin = await startAdminServer({ token: { file } });
    expect((await change(admin, bearer(TOKEN))).status).toBe(204);
    await writeFile(file, 'another-horse-battery-staple');
    expect((await change(admin, bearer(TOKEN))).status).toBe(401);
    expect((await change(admin, bearer('another-horse-battery-staple'))).status).toBe(204);
    expect(admin.errors).toEqual([]);
    await writeFile(file, 'short');
    expect((await change(admin, bearer('short'))).status).toBe(500);
    await using other = await startAdminServer({ token: { file: join(dir.path, 'missing') } });
    expect((await change(other, bearer(TOKEN))).status).toBe(500);
    expect([...admin.errors, ...other.errors].map(String)).toEqual([
      expect.stringContaining('less than 16 characters'),
      expect.stringContaining("can't be read"),
    ]);
  });
});

describe('a change that a page asks for', () => {
  it.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:1' },
    { origin: 'http://mirror.example:8080' },
    { origin: 'file://' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'http://mirror.example', 'sec-fetch-site': 'cross-site' },
  ])('is refused with %j, token or not', async (headers) => {
    await using admin = await startAdminServer({ listenHost: '0.0.0.0', token: TOKEN });
    const answer = await change(admin, { host: 'mirror.example', ...bearer(TOKEN), ...headers });
    expect([answer.status, jsonOf(answer)]).toEqual([
      403,
      { error: 'pages of other sites can see and change nothing here' },
    ]);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    expect(admin.administration.calls).toEqual([]);
  });

  it.each([
    { origin: 'http://mirror.example' },
    // Behind a proxy that speaks TLS.
    { origin: 'https://mirror.example', 'sec-fetch-site': 'same-origin' },
    { host: 'mirror.example:8443', origin: 'https://mirror.example:8443' },
    { host: 'mirror.example:443', origin: 'https://mirror.example' },
    { 'sec-fetch-site': 'none' },
  ])('is done with %j', async (headers) => {
    await using admin = await startAdminServer({ listenHost: '0.0.0.0', token: TOKEN });
    const answer = await change(admin, { host: 'mirror.example', ...bearer(TOKEN), ...headers });
    expect(answer.status).toBe(204);
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    undefined,
  ])('is refused as %s, which a form can send without asking', async (type) => {
    await using admin = await startAdminServer();
    for (const [method, path] of [
      ['PUT', 'offline'],
      ['POST', 'scrub'],
    ] as const) {
      const answer = await request(`${admin.url}/api/v1/${path}`, {
        method,
        headers: type === undefined ? {} : { 'content-type': type },
        body: method === 'PUT' ? '{"offline":true}' : '',
      });
      expect(answer.status).toBe(415);
    }
    expect(admin.administration.calls).toEqual([]);
  });
});

describe('a read that a page asks for', () => {
  it.each([
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' },
    { origin: 'https://evil.example' },
  ])('is refused with %j: other sites hold no place of the event stream', async (headers) => {
    await using admin = await startAdminServer();
    for (const path of ['events', 'state']) {
      const answer = await get(`${admin.url}/api/v1/${path}`, { headers });
      expect(answer.status).toBe(403);
    }
    expect(admin.administration.calls).toEqual([]);
  });

  it.each([
    { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' },
    // A link, and an address that was typed.
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
    { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' },
  ])('is answered with %j', async (headers) => {
    await using admin = await startAdminServer();
    expect((await get(`${admin.url}/api/v1/state`, { headers })).status).toBe(200);
  });
});
