/** R8 of what clients need: what can't be served is refused with the status that makes each of them do the right thing. */
import { beforeEach, describe, expect, it } from 'vitest';
import { movableClock } from '../support/clock.ts';
import { get, head, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { errorReply, htmlPage } from '../support/scripted-upstream-reply.ts';
import { useMirror } from '../support/use-mirror.ts';

const image = buildImage();
const MISSING = `sha256:${'0'.repeat(64)}`;
const REPOSITORY = 'library/alpine';

/** To GET with what has to be said, and to HEAD without. */
async function expectRefusal(url: string, status: number, code: string): Promise<Response> {
  const response = await get(url);
  expectError(response, status, code);
  expectHeadError(await head(url), status);
  return response;
}

describe('R8: what upstream does not have', () => {
  const given = useMirror();
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  it.each([
    [`blobs/${MISSING}`, 'BLOB_UNKNOWN'],
    [`blobs/sha512:${'0'.repeat(128)}`, 'BLOB_UNKNOWN'],
    ['manifests/none', 'MANIFEST_UNKNOWN'],
    [`manifests/${MISSING}`, 'MANIFEST_UNKNOWN'],
  ])('is a 404: %s', async (path, code) => {
    await expectRefusal(`${given.v2}/${REPOSITORY}/${path}`, 404, code);
    expect(given.upstream.count({ origin: 'registry', status: 404 })).toBe(2);
    expect(given.upstream.count({ origin: 'cdn' })).toBe(0);
  });

  it('is a 404 of the name for tags of a repository that is unknown', async () => {
    given.upstream.reply({ kind: 'tags' }, errorReply(404, 'NAME_UNKNOWN'), 2);
    await expectRefusal(`${given.v2}/${REPOSITORY}/tags/list`, 404, 'NAME_UNKNOWN');
  });

  it('is a 404 too where the reason is no JSON', async () => {
    const page = { status: 404, headers: { 'content-type': 'text/html' }, body: Buffer.from('<h1>No</h1>') };
    given.upstream.reply({ kind: 'blob' }, page, 2);
    await expectRefusal(`${given.v2}/${REPOSITORY}/blobs/${image.config.digest}`, 404, 'BLOB_UNKNOWN');
  });
});

describe('R8: what upstream denies', () => {
  const given = useMirror();
  beforeEach(() => {
    given.upstream.push('team/private', '1', image);
    given.upstream.makePrivate('team/private');
  });

  it.each(['team/private', 'no/such/repository'])(
    'is a 403 in %s, for Docker Hub says of neither whether it exists, and never a 401',
    async (name) => {
      for (const path of [
        'manifests/1',
        `manifests/${image.manifest.digest}`,
        `blobs/${MISSING}`,
        'tags/list',
      ]) {
        const response = await expectRefusal(`${given.v2}/${name}/${path}`, 403, 'DENIED');
        expect(JSON.stringify(response.headers)).not.toContain(given.upstream.tokenUrl);
      }
    },
  );

  it.each([
    ['a 401 without a challenge', errorReply(401, 'UNAUTHORIZED')],
    [
      'a 401 that asks for a password',
      errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': 'Basic realm="x"' }),
    ],
    ['a 403', errorReply(403, 'DENIED')],
  ])('is a 403 where it says %s', async (_, reply) => {
    given.upstream.push(REPOSITORY, '3', image);
    given.upstream.reply({ origin: 'registry', repository: REPOSITORY, status: 200 }, reply, 100);
    given.upstream.reply({ origin: 'registry', repository: REPOSITORY, status: 307 }, reply, 100);
    for (const path of ['manifests/3', `blobs/${image.config.digest}`, 'tags/list']) {
      await expectRefusal(`${given.v2}/${REPOSITORY}/${path}`, 403, 'DENIED');
    }
  });

  it('is a 403 where the token service does', async () => {
    given.upstream.reply({ origin: 'token' }, errorReply(403, 'DENIED'), 100);
    await expectRefusal(`${given.v2}/team/private/manifests/1`, 403, 'DENIED');
  });
});

describe('R8: too many requests', () => {
  const given = useMirror();
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  const tooMany = (retryAfter: string) =>
    errorReply(429, 'TOOMANYREQUESTS', 'You have reached your pull rate limit', {
      'retry-after': retryAfter,
    });

  it.each([
    ['manifests/3', 'manifest'],
    [`manifests/${image.manifest.digest}`, 'manifest'],
    [`blobs/${image.config.digest}`, 'blob'],
    ['tags/list', 'tags'],
  ] as const)('are a 429 that says when to come again, and not asked for before: %s', async (path, kind) => {
    given.upstream.reply({ kind }, tooMany('120'), 2);
    const url = `${given.v2}/${REPOSITORY}/${path}`;
    const response = await get(url);
    expectError(response, 429, 'TOOMANYREQUESTS');
    expect(response.headers['retry-after']).toBe('120');
    const headed = await head(url);
    expectHeadError(headed, 429);
    expect(headed.headers['retry-after']).toMatch(/^1[12]\d$/);
    const asked = given.upstream.count();
    expectError(await get(url), 429, 'TOOMANYREQUESTS');
    expect(given.upstream.count()).toBe(asked);
  });

  it('say it in seconds where upstream says it as a date', async () => {
    const inAnHour = new Date(Date.now() + 3600_000).toUTCString();
    given.upstream.reply({ kind: 'manifest' }, tooMany(inAnHour));
    const { headers } = await get(`${given.v2}/${REPOSITORY}/manifests/3`);
    expect(headers['retry-after']).toMatch(/^\d+$/);
    expect(Number(headers['retry-after'])).toBeGreaterThan(3500);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3600);
  });

  it('stop the GET of a tag, and not its HEAD, which is free', async () => {
    given.upstream.remainingPulls = 0;
    const url = `${given.v2}/${REPOSITORY}/manifests/3`;
    const { status, headers } = await head(url);
    expect([status, headers['docker-content-digest']]).toEqual([200, image.manifest.digest]);
    expectError(await get(url), 429, 'TOOMANYREQUESTS');
  });

  it('of the abuse limit, which are plain text, are no other', async () => {
    given.upstream.reply({ kind: 'manifest' }, { status: 429, body: Buffer.from('Too Many Requests') }, 2);
    await expectRefusal(`${given.v2}/${REPOSITORY}/manifests/3`, 429, 'TOOMANYREQUESTS');
  });
});

describe('R8: an upstream that is away', () => {
  const time = movableClock();
  const given = useMirror({ now: time.now });
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  const COLD = ['manifests/3', `manifests/${image.manifest.digest}`, 'tags/list', `referrers/${MISSING}`];

  it.each([...COLD, `blobs/${image.config.digest}`])('is a 503 for what is not cached: %s', async (path) => {
    await given.upstream.stop();
    await expectRefusal(`${given.v2}/${REPOSITORY}/${path}`, 503, 'UNAVAILABLE');
  });

  it.each(COLD)('is a 503 where it answers 500, 502 and 504: %s', async (path) => {
    for (const status of [500, 502, 504]) {
      const page = { status, headers: { 'content-type': 'text/html' }, body: Buffer.from('<h1>Sorry</h1>') };
      given.upstream.reply({ origin: 'registry', status: 200 }, page, 10);
      expectError(await get(`${given.v2}/${REPOSITORY}/${path}`), 503, 'UNAVAILABLE');
      given.upstream.clearScript();
      time.pass(60_000);
    }
  });

  it('says why in the reason phrase too: docker, ctr and podman show no more of a 5xx', async () => {
    await given.upstream.stop();
    const answer = await fetch(`${given.v2}/${REPOSITORY}/manifests/3`);
    expect(answer.statusText).toBe(
      `upstream can't be reached and the manifest ${REPOSITORY}:3 is not cached`,
    );
  });

  it('does not matter for what is cached', async () => {
    const paths = ['manifests/3', `manifests/${image.manifest.digest}`, `blobs/${image.config.digest}`];
    for (const path of paths) await get(`${given.v2}/${REPOSITORY}/${path}`);
    await given.upstream.stop();
    for (const path of paths) {
      expect((await get(`${given.v2}/${REPOSITORY}/${path}`)).status).toBe(200);
      expect((await head(`${given.v2}/${REPOSITORY}/${path}`)).status).toBe(200);
    }
  });
});

describe('R8: an upstream that sends something else', () => {
  const given = useMirror();
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  it.each([
    ['another manifest than the digest says', { body: flipByte(40) }],
    ['half of a manifest', { body: (bytes: Uint8Array) => bytes.subarray(0, bytes.length / 2) }],
    ['a login page', { reply: htmlPage() }],
    [
      'a Content-Type that contradicts the manifest',
      { headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } },
    ],
    ['no Content-Type', { headers: { 'content-type': undefined } }],
    ['more than any manifest has', { body: () => Buffer.alloc(5 * 1024 * 1024, ' ') }],
    ['a redirect to nowhere', { reply: { status: 307 } }],
    ['compressed bytes', { headers: { 'content-encoding': 'gzip' } }],
    ['an answer that nobody expects', { reply: { status: 418 } }],
  ])('is a 502 to %s, and it is asked again the next time', async (_, fault) => {
    for (const reference of ['3', image.manifest.digest]) {
      const url = `${given.v2}/${REPOSITORY}/manifests/${reference}`;
      given.upstream.fault({ kind: 'manifest', method: 'GET' }, fault);
      expectError(await get(url), 502, 'UNAVAILABLE');
    }
    expect((await get(`${given.v2}/${REPOSITORY}/manifests/3`)).body).toEqual(image.manifest.bytes);
  });

  it('is a 502 to a tags list or an index of referrers that is none', async () => {
    for (const [kind, path] of [
      ['tags', 'tags/list'],
      ['referrers', `referrers/${MISSING}`],
    ] as const) {
      const broken = { status: 200, headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } };
      given.upstream.reply({ kind }, { ...broken, body: Buffer.from('{"tags":[') });
      expectError(await get(`${given.v2}/${REPOSITORY}/${path}`), 502, 'UNAVAILABLE');
    }
  });

  it('tells the log why, and the client nothing of where it asked', async () => {
    given.upstream.fault({ kind: 'manifest', method: 'GET' }, { body: flipByte(40) });
    const response = await get(`${given.v2}/${REPOSITORY}/manifests/3`);
    expect(response.body.toString()).not.toContain(new URL(given.upstream.url).host);
    const line = given.mirror.log.find(({ status }) => status === 502);
    expect(JSON.stringify(line)).toContain('instead of');
  });
});
