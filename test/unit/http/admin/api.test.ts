import { Validator } from '@seriousme/openapi-schema-validator';
import { beforeEach, describe, expect, it } from 'vitest';
import { AdminError } from '../../../../src/admin/administration.ts';
import { adminRoutes } from '../../../../src/http/admin.ts';
import { startAdminServer, type AdminServer } from '../../../support/admin-server.ts';
import { jsonOf, request } from '../../../support/http.ts';
import { document, documentedRoutes, mistakesIn, mistakesInExamples } from '../../../support/openapi.ts';
import { RawConnection, sendRaw } from '../../../support/raw-http.ts';
import { ScriptedAdministration } from '../../../support/scripted-administration.ts';
import { digestFor, NOW } from '../../../support/scripted-content.ts';

type Spec = Parameters<Validator['validate']>[0];

const DAY_MS = 86_400_000;
const now = Date.parse(NOW);

let admin: AdminServer;
beforeEach(async () => {
  admin = await startAdminServer();
  return () => admin[Symbol.asyncDispose]();
});

async function ask(route: string, body?: unknown) {
  const [method = '', path = ''] = route.split(' ');
  return request(admin.url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

const INDEX = digestFor('index of library/alpine');
const first = { after: undefined, limit: 100 };
/** With the answer's status, and what of the administration it calls. */
const CALLS: readonly (readonly [
  route: string,
  body: unknown,
  status: number,
  called?: string,
  given?: readonly unknown[],
])[] = [
  ['GET /healthz', undefined, 200],
  ['GET /readyz', undefined, 200],
  ['GET /metrics', undefined, 200],
  ['GET /api/v1/access', undefined, 200],
  ['GET /api/v1/state', undefined, 200, 'state', []],
  ['GET /api/v1/history', undefined, 200, 'history', [now - DAY_MS, 60]],
  ['GET /api/v1/history?from=3600&step=10', undefined, 200, 'history', [now - 3_600_000, 10]],
  ['GET /api/v1/history?from=2026-03-01T13:00:00%2B02:00', undefined, 200, 'history', [now - 3_600_000, 60]],
  ['GET /api/v1/errors', undefined, 200, 'troubles', []],
  ['GET /api/v1/clients', undefined, 200, 'clients', []],
  ['GET /api/v1/downloads', undefined, 200, 'downloads', []],
  ['GET /api/v1/repositories', undefined, 200, 'listRepositories', [{ ...first, search: undefined }]],
  [
    'GET /api/v1/repositories?after=a%2Fb&limit=2&search=lib',
    undefined,
    200,
    'listRepositories',
    [{ after: 'a/b', limit: 2, search: 'lib' }],
  ],
  ['GET /api/v1/repositories?search=', undefined, 200, 'listRepositories', [{ ...first, search: undefined }]],
  ['GET /api/v1/tags?repository=library/alpine', undefined, 200, 'listTags', ['library/alpine', first]],
  ['GET /api/v1/tags?repository=nothing', undefined, 404, 'listTags', ['nothing', first]],
  [
    'GET /api/v1/manifests?repository=library/alpine&limit=1',
    undefined,
    200,
    'listManifests',
    ['library/alpine', { after: undefined, limit: 1 }],
  ],
  ['GET /api/v1/manifest?reference=alpine:3', undefined, 200, 'manifest', ['alpine:3']],
  [
    `GET /api/v1/manifest?reference=library/alpine@${INDEX}`,
    undefined,
    200,
    'manifest',
    [`library/alpine@${INDEX}`],
  ],
  ['GET /api/v1/manifest?reference=UPPER', undefined, 400, 'manifest', ['UPPER']],
  ['POST /api/v1/purge', { reference: 'alpine:3' }, 200, 'purge', [{ reference: 'alpine:3' }]],
  ['POST /api/v1/purge', { repository: 'library/alpine' }, 200, 'purge', [{ repository: 'library/alpine' }]],
  ['POST /api/v1/purge', { everything: true }, 200, 'purge', [{ everything: true }]],
  ['GET /api/v1/pins?limit=1000', undefined, 200, 'listPins', [{ after: undefined, limit: 1000 }]],
  ['POST /api/v1/pins', { reference: 'node:24' }, 200, 'pin', ['node:24']],
  ['DELETE /api/v1/pins?reference=alpine:3', undefined, 204, 'unpin', ['alpine:3']],
  [
    'POST /api/v1/prefetch',
    { references: ['node:24'], platforms: ['linux/amd64'] },
    202,
    'prefetch',
    [{ references: ['node:24'], platforms: ['linux/amd64'] }],
  ],
  [
    'POST /api/v1/prefetch',
    { references: ['node'] },
    202,
    'prefetch',
    [{ references: ['node'], platforms: [] }],
  ],
  ['POST /api/v1/evict', { bytes: 5 }, 202, 'evict', [5]],
  ['POST /api/v1/evict', {}, 202, 'evict', [undefined]],
  ['POST /api/v1/scrub', '', 202, 'scrub', []],
  ['POST /api/v1/check', {}, 202, 'check', []],
  ['GET /api/v1/jobs', undefined, 200, 'jobs', []],
  ['GET /api/v1/jobs/prefetch-1', undefined, 200, 'job', ['prefetch-1']],
  ['GET /api/v1/jobs/a%2Fb', undefined, 404, 'job', ['a/b']],
  ['DELETE /api/v1/jobs/prefetch-1', undefined, 200, 'cancel', ['prefetch-1']],
  ['PUT /api/v1/offline', { offline: true }, 204, 'setOffline', [true]],
];

describe('docs/admin-api.yaml', () => {
  it('is an OpenAPI document, with examples that are as it says', async () => {
    expect(await new Validator().validate(structuredClone(document) as unknown as Spec)).toEqual({
      valid: true,
    });
    expect(mistakesInExamples()).toEqual([]);
  });

  it('has every route that there is, and no other', () => {
    const routes = adminRoutes({
      administration: new ScriptedAdministration(),
      access: { listenHost: 'localhost', token: undefined },
      findFaults: () => Promise.resolve([]),
      findWarnings: () => Promise.resolve([]),
      metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
      onError: () => undefined,
    });
    const served = routes.map(({ method, path }) => `${method} ${path}`);
    expect(documentedRoutes().toSorted()).toEqual(served.toSorted());
    // All are called below but the stream, which does not end.
    const called = new Set(CALLS.map(([route]) => route.split('?')[0]?.replace(/jobs\/.+/, 'jobs/{id}')));
    expect(served.filter((route) => !called.has(route))).toEqual(['GET /api/v1/events']);
  });

  it('tells an answer that is not as it says', () => {
    const answer = { status: 200, contentType: 'application/json', body: '{"reads":"open","more":1}' };
    expect(mistakesIn('GET', '/api/v1/access', answer)).toHaveLength(2);
  });
});

describe('the admin API', () => {
  it.each(CALLS.map(([route, body, status, called, given]) => ({ route, body, status, called, given })))(
    'answers $route with body $body as documented, with $status',
    async ({ route, body, status, called, given }) => {
      const answer = await ask(route, body);
      expect([answer.status, answer.body.toString()]).toEqual([status, expect.any(String)]);
      const [method = '', target = ''] = route.split(' ');
      const contentType = answer.headers['content-type'];
      const seen = { status: answer.status, contentType, body: answer.body.toString() };
      expect(mistakesIn(method, target.split('?')[0] ?? '', seen)).toEqual([]);
      expect(admin.administration.calls).toEqual(
        called === undefined ? [] : [{ method: called, arguments: given }],
      );
      if (status === 202) {
        const { id } = jsonOf(answer) as { id: string };
        expect(answer.headers.location).toBe(`/api/v1/jobs/${id}`);
        expect(jsonOf(await ask(`GET ${answer.headers.location ?? ''}`))).toEqual(jsonOf(answer));
      }
    },
  );

  it('gives a list in pages, each with where the next one begins', async () => {
    const names: string[] = [];
    for (let after: string | undefined = ''; after !== undefined;) {
      const answer = await ask(`GET /api/v1/repositories?limit=2&after=${after}`);
      const page = jsonOf(answer) as { items: { repository: string }[]; next?: string };
      names.push(...page.items.map(({ repository }) => repository));
      after = page.next;
    }
    expect(names).toEqual(['ghcr.io/example/tool', 'library/alpine', 'library/node']);
  });

  it.each([
    ['invalid', 400],
    ['unknown', 404],
    ['conflict', 409],
  ] as const)('says why something is %s with %i', async (kind, status) => {
    admin.administration.failure = new AdminError(kind, 'because of this');
    const answer = await ask('POST /api/v1/scrub', {});
    expect([answer.status, jsonOf(answer)]).toEqual([status, { error: 'because of this' }]);
    expect(admin.errors).toEqual([]);
  });

  it.each([
    ['GET /api/v1/repositories?limit=0', undefined, '"limit"'],
    ['GET /api/v1/repositories?limit=1001', undefined, '"limit"'],
    ['GET /api/v1/repositories?limit=1e2', undefined, '"limit"'],
    ['GET /api/v1/repositories?limit=1&limit=2', undefined, '"limit"'],
    ['GET /api/v1/repositories?serach=x', undefined, '"serach"'],
    ['GET /api/v1/repositories?__proto__=x', undefined, '"__proto__"'],
    [`GET /api/v1/repositories?search=${'x'.repeat(1025)}`, undefined, '"search"'],
    ['GET /api/v1/state?x=1', undefined, '"x"'],
    ['GET /api/v1/tags', undefined, '"repository"'],
    ['GET /api/v1/tags?repository=', undefined, '"repository"'],
    ['GET /api/v1/manifest', undefined, '"reference"'],
    ['GET /api/v1/history?from=yesterday', undefined, '"from"'],
    ['GET /api/v1/history?from=-5', undefined, '"from"'],
    ['GET /api/v1/history?from=2026-03-02', undefined, '"from"'],
    ['GET /api/v1/history?step=0', undefined, '"step"'],
    ['DELETE /api/v1/pins', undefined, '"reference"'],
    ['POST /api/v1/purge', {}, '"everything"'],
    ['POST /api/v1/purge', { everything: false }, '"everything"'],
    ['POST /api/v1/purge', { reference: 'a', repository: 'b' }, '"reference"'],
    ['POST /api/v1/purge', { reference: '' }, '"reference"'],
    ['POST /api/v1/purge', { reference: ['a'] }, '"reference"'],
    ['POST /api/v1/purge', { all: true }, '"all"'],
    ['POST /api/v1/pins', { reference: 5 }, '"reference"'],
    ['POST /api/v1/prefetch', { references: [] }, '"references"'],
    ['POST /api/v1/prefetch', { references: 'node' }, '"references"'],
    ['POST /api/v1/prefetch', { references: ['a', 5] }, '"references[1]"'],
    ['POST /api/v1/prefetch', { references: new Array(257).fill('a') }, '"references"'],
    ['POST /api/v1/prefetch', { references: ['a'], platforms: new Array(33).fill('a/b') }, '"platforms"'],
    ['POST /api/v1/prefetch', { references: ['a'], platforms: 'linux' }, '"platforms"'],
    ['POST /api/v1/evict', { bytes: 0 }, '"bytes"'],
    ['POST /api/v1/evict', { bytes: '5' }, '"bytes"'],
    ['POST /api/v1/evict', { bytes: 1.5 }, '"bytes"'],
    ['POST /api/v1/scrub', { now: true }, '"now"'],
    ['PUT /api/v1/offline', {}, '"offline"'],
    ['PUT /api/v1/offline', { offline: 'true' }, '"offline"'],
    ['PUT /api/v1/offline', '[]', 'object'],
    ['PUT /api/v1/offline', 'null', 'object'],
    ['PUT /api/v1/offline', '{', 'JSON'],
  ])('refuses %s with body %j, and names what is wrong', async (route, body, named) => {
    const answer = await ask(route, body);
    expect([answer.status, jsonOf(answer)]).toEqual([
      400,
      { error: expect.stringContaining(named) as string },
    ]);
    expect(admin.administration.calls).toEqual([]);
  });
});

describe('a body', () => {
  const start = 'PUT /api/v1/offline HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

  it('may have 64 KiB and no more, whether it says its length or not', async () => {
    const fits = `{"offline":true${' '.repeat(65_536 - 16)}}`;
    expect((await ask('PUT /api/v1/offline', fits)).status).toBe(204);
    const large = `${fits} `;
    const [announced] = await sendRaw(admin.url, `${start}Content-Length: ${large.length}\r\n\r\n`);
    expect([announced?.status, announced?.headers['connection']]).toEqual([413, 'close']);
    const chunk = `${large.length.toString(16)}\r\n${large}\r\n`;
    const [chunked] = await sendRaw(admin.url, `${start}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
    expect(chunked?.status).toBe(413);
    expect(admin.administration.calls).toHaveLength(1);
  });

  it('is not JSON where it is not UTF-8', async () => {
    const body = Buffer.from([...Buffer.from('{"offline":"'), 0xff, ...Buffer.from('"}')]);
    const answer = await request(`${admin.url}/api/v1/offline`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(answer.status).toBe(400);
  });

  it('is asked for where the client waits for leave to send it', async () => {
    using connection = await RawConnection.open(admin.url);
    const body = '{"offline":true}';
    connection.send(`${start}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    await connection.until(/^HTTP\/1\.1 100 /);
    connection.send(body);
    await connection.until(/HTTP\/1\.1 204 /);
  });

  it('does nothing that broke off', async () => {
    {
      using connection = await RawConnection.open(admin.url);
      connection.send(`${start}Content-Length: 16\r\n\r\n{"offline"`);
    }
    // By then it has been seen that the other connection is gone.
    await ask('GET /api/v1/state');
    expect(admin.administration.callsOf('setOffline')).toEqual([]);
    expect(admin.errors).toEqual([]);
  });
});
