import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PAGE_DIRECTORY } from '../../../../src/http/admin/page.ts';
import { startAdminServer, type AdminServer } from '../../../support/admin-server.ts';
import { get, request } from '../../../support/http.ts';
import { sendRaw } from '../../../support/raw-http.ts';
import { tempDir, type TempDir } from '../../../support/temp-dir.ts';

let dir: TempDir;
let admin: AdminServer;

beforeAll(async () => {
  dir = await tempDir();
  const page = join(dir.path, 'page');
  await mkdir(page);
  await writeFile(join(page, 'index.html'), '<!doctype html><title>E</title>');
  await writeFile(join(page, 'style.css'), 'p {}');
  await writeFile(join(page, 'main.js'), 'void 0;');
  await writeFile(join(page, 'icon.svg'), '<svg/>');
  await writeFile(join(page, 'tsconfig.json'), '{}');
  await writeFile(join(dir.path, 'secret.js'), 'secret');
  admin = await startAdminServer({ pageDirectory: page });
});
afterAll(async () => {
  await admin[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

describe('the page', () => {
  it.each([
    ['/', 'text/html; charset=utf-8', '<!doctype html><title>E</title>'],
    ['/?from=bookmark', 'text/html; charset=utf-8', '<!doctype html><title>E</title>'],
    ['/style.css', 'text/css; charset=utf-8', 'p {}'],
    ['/main.js', 'text/javascript; charset=utf-8', 'void 0;'],
    ['/icon.svg', 'image/svg+xml', '<svg/>'],
  ])('has %s as %s, and lets it do nothing but ask us', async (path, type, body) => {
    const answer = await get(admin.url + path);
    expect([answer.status, answer.body.toString()]).toEqual([200, body]);
    expect(answer.headers).toMatchObject({
      'content-type': type,
      'content-length': String(body.length),
      'cache-control': 'no-cache',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
    });
  });

  it('is not sent again to whoever has it', async () => {
    const { etag = '' } = (await get(`${admin.url}/main.js`)).headers;
    const again = await get(`${admin.url}/main.js`, { headers: { 'if-none-match': etag } });
    expect([again.status, again.body.length, again.headers.etag]).toEqual([304, 0, etag]);
    expect(again.headers['content-security-policy']).toBeDefined();
    const other = await get(`${admin.url}/style.css`, { headers: { 'if-none-match': etag } });
    expect(other.status).toBe(200);
  });

  it.each([
    '/index.html/',
    '/tsconfig.json',
    '/../secret.js',
    '/%2e%2e/secret.js',
    '/..%2fsecret.js',
    '/./main.js',
    '//main.js',
    '/main.js%00',
    '/__proto__',
  ])('has nothing else, such as %s', async (path) => {
    const [answer] = await sendRaw(
      admin.url,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect(answer?.status).toBe(404);
  });

  it('takes nothing', async () => {
    expect((await request(`${admin.url}/`, { method: 'POST', body: 'x' })).status).toBe(404);
  });

  it('is tried again after it could not be read', async () => {
    await using later = await tempDir();
    const pageDirectory = join(later.path, 'page');
    await using server = await startAdminServer({ pageDirectory });
    expect((await get(`${server.url}/`)).status).toBe(500);
    expect(server.errors).toHaveLength(1);
    // What the page is not needed for works meanwhile.
    expect((await get(`${server.url}/api/v1/state`)).status).toBe(200);
    await mkdir(pageDirectory);
    await writeFile(join(pageDirectory, 'index.html'), 'here');
    expect((await get(`${server.url}/`)).body.toString()).toBe('here');
  });

  it('is found where it lies', async () => {
    await using server = await startAdminServer({ pageDirectory: PAGE_DIRECTORY });
    expect((await get(`${server.url}/`)).body.toString()).toMatch(/^<!doctype html>/i);
  });
});
