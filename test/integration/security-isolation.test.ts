/** Who asks in one repository of one upstream gets what that holds, and nothing that the cache has from elsewhere. */
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, head, jsonOf, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { startSeveral, type Several } from '../support/several-upstreams.ts';
import { tempDir } from '../support/temp-dir.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const account = { username: 'robot', password: 'pass-5f0c7a' };
const secret = buildImage({ seed: 'secret', layers: [randomBytes('secret', 2 * MIB)] });
const referrer = buildImage({ seed: 'signature', subject: secret.manifest, artifactType: 'a/signature' });
const common = buildImage({ seed: 'common' });
const SECRETS = [
  'manifests/secret',
  `manifests/${secret.manifest.digest}`,
  `manifests/${referrer.manifest.digest}`,
  ...secret.blobs.map(({ digest }) => `blobs/${digest}`),
];

async function pull(base: string): Promise<void> {
  for (const path of [...SECRETS, 'tags/list', `referrers/${secret.manifest.digest}`]) {
    expect((await get(`${base}/${path}`)).status).toBe(200);
  }
}

/** @param statuses with which it may be refused */
async function expectNothing(base: string, statuses: readonly number[]): Promise<void> {
  for (const path of SECRETS) {
    for (const ask of [get, head]) {
      const { status, headers } = await ask(`${base}/${path}`);
      expect({ path, status: statuses.includes(status) || status }).toEqual({ path, status: true });
      expect(headers['docker-content-digest']).toBeUndefined();
    }
  }
}

function fill(upstream: ScriptedUpstream): void {
  upstream.push('team/private', 'secret', secret);
  upstream.push('team/private', undefined, referrer);
  upstream.makePrivate('team/private');
  upstream.push('team/public', 'latest', common);
}

describe('what the cache has of a private repository', () => {
  it('is not given under any other name, however much of it is here', async () => {
    await using dir = await tempDir();
    await using upstream = await ScriptedUpstream.start({ credentials: account });
    fill(upstream);
    const env = { ENTREPOT_UPSTREAM_USERNAME: 'robot', ENTREPOT_UPSTREAM_PASSWORD: account.password };
    const options = { upstreamUrl: upstream.url, dataDir: dir.path, env };
    const strangers = [
      'team/public',
      'team',
      'private',
      'team/private/more',
      'library/private',
      'nobody/knows',
    ];
    {
      await using mirror = await startMirror(options);
      await pull(`${mirror.url}/v2/team/private`);
      for (const name of strangers) await expectNothing(`${mirror.url}/v2/${name}`, [403, 404]);
      const tags = await get(`${mirror.url}/v2/team/public/tags/list`);
      expect(jsonOf(tags)).toEqual({ name: 'team/public', tags: ['latest'] });
      const referrers = await get(`${mirror.url}/v2/team/public/referrers/${secret.manifest.digest}`);
      expect(jsonOf(referrers)).toMatchObject({ manifests: [] });
    }
    // Nor when nobody is there to ask, after a restart.
    await upstream.stop();
    await using mirror = await startMirror(options);
    expect((await get(`${mirror.url}/v2/team/private/blobs/${secret.config.digest}`)).status).toBe(200);
    for (const name of strangers) await expectNothing(`${mirror.url}/v2/${name}`, [503]);
  });

  it('is not given any more by its tags when upstream does not let us in any more', async () => {
    await using upstream = await ScriptedUpstream.start();
    fill(upstream);
    upstream.makePrivate('team/private', false);
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env: { ENTREPOT_TAG_TTL: '0s' } });
    await pull(`${mirror.url}/v2/team/private`);
    upstream.makePrivate('team/private');
    for (const path of ['manifests/secret', 'tags/list']) {
      expect((await get(`${mirror.url}/v2/team/private/${path}`)).status).toBe(403);
      expect((await head(`${mirror.url}/v2/team/private/${path}`)).status).toBe(403);
    }
  });
});

describe('two upstreams that have the same names', () => {
  const NAME = 'team/private';
  let several: Several<'ours' | 'theirs'>;
  let mirror: RunningMirror;

  beforeEach(async () => {
    several = await startSeveral({ ours: 'ours.test', theirs: 'theirs.test' });
    mirror = several.mirror;
    return () => several[Symbol.asyncDispose]();
  });

  it('give nothing of each other away', async () => {
    const { ours, theirs } = several.upstreams;
    ours.push(NAME, 'secret', secret);
    ours.push(NAME, undefined, referrer);
    theirs.push(NAME, 'latest', common);
    await pull(`${mirror.url}/v2/${NAME}`);
    await expectNothing(`${mirror.url}/v2/theirs.test/${NAME}`, [404]);
    const base = `${mirror.url}/v2/theirs.test/${NAME}`;
    expect(jsonOf(await get(`${base}/tags/list`))).toMatchObject({ tags: ['latest'] });
    expect(jsonOf(await get(`${base}/referrers/${secret.manifest.digest}`))).toMatchObject({ manifests: [] });
    await theirs.stop();
    await expectNothing(base, [503, 404]);
  });

  it('do not answer for each other when both are asked for the same tag at once', async () => {
    const { ours, theirs } = several.upstreams;
    ours.push(NAME, '1', secret);
    theirs.push(NAME, '1', common);
    const gates = [ours, theirs].map((upstream) => upstream.hold({ kind: 'manifest', method: 'HEAD' }));
    const answers = ['ours.test', 'theirs.test'].map((ns) =>
      get(`${mirror.url}/v2/${NAME}/manifests/1?ns=${ns}`),
    );
    for (const gate of gates) await gate.waiting;
    for (const gate of gates) gate.release();
    const [first, second] = await Promise.all(answers);
    expect(first?.headers['docker-content-digest']).toBe(secret.manifest.digest);
    expect(second?.headers['docker-content-digest']).toBe(common.manifest.digest);
    expect(second?.body).toEqual(common.manifest.bytes);
  });

  it('do not let who asks the one join a download of the other', async () => {
    const { ours, theirs } = several.upstreams;
    ours.push(NAME, '1', secret);
    theirs.push(NAME, '1', common);
    const { digest } = secret.layers[0]!;
    const gate = ours.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const client = await open(`${mirror.url}/v2/${NAME}/blobs/${digest}?ns=ours.test`);
    await gate.waiting;
    for (const ask of [get, head]) {
      expect((await ask(`${mirror.url}/v2/${NAME}/blobs/${digest}?ns=theirs.test`)).status).toBe(404);
    }
    gate.release();
    expect(digestOf((await client.rest()).body)).toBe(digest);
  });
});

describe('the host that a client names', () => {
  const given = useMirror();

  it('is in no answer, whatever is asked for', async () => {
    given.upstream.push('library/alpine', '3', common);
    given.upstream.push('library/alpine', '4', common);
    given.upstream.push('library/busybox', '3', common);
    const { digest } = common.layers[0]!;
    const headers = {
      host: 'evil.example',
      forwarded: 'host=evil.example;proto=https',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-prefix': '/evil.example',
      'x-original-url': '/evil.example',
      'x-rewrite-url': '/evil.example',
    };
    await get(`${given.v2}/library/busybox/manifests/3`);
    const seen: number[] = [];
    for (const path of [
      '',
      'library/alpine/manifests/3',
      'library/alpine/manifests/none',
      `library/alpine/blobs/${digest}`,
      'library/alpine/blobs/sha256:x',
      'library/alpine/tags/list?n=1',
      'library/alpine/tags/list?n=x',
      `library/alpine/referrers/${digest}`,
      '_catalog?n=1',
      'nowhere',
    ]) {
      const response = await get(`${given.v2}/${path}`, { headers });
      seen.push(response.status);
      expect(JSON.stringify(response.rawHeaders) + response.body.toString()).not.toContain('evil');
      expect(response.headers.location).toBeUndefined();
    }
    expect(seen).toEqual([200, 200, 404, 200, 400, 200, 400, 200, 200, 404]);
  });
});

describe('a challenge', () => {
  const given = useMirror();

  it.each([
    ['Basic', 'Basic realm="Docker Hub"'],
    ['Bearer of a service that is not there', 'Bearer realm="http://127.0.0.1:1/token",service="s"'],
    ['Bearer of a service of strangers', 'Bearer realm="https://evil.example/token",service="s"'],
    ['Bearer of nothing', 'Bearer'],
    ['Negotiate', 'Negotiate'],
    ['none', undefined],
  ])('of upstream is never passed on, nor is its 401: %s', async (_, challenge) => {
    const headers = { 'www-authenticate': challenge, 'proxy-authenticate': challenge };
    given.upstream.push('library/alpine', '3', common);
    given.upstream.fault({ origin: 'registry', status: 401 }, { reply: { status: 401, headers } }, Infinity);
    given.upstream.fault({ origin: 'registry' }, { reply: { status: 401, headers } }, Infinity);
    for (const path of [
      'manifests/3',
      `manifests/${common.manifest.digest}`,
      `blobs/${common.config.digest}`,
      'tags/list',
      `referrers/${common.manifest.digest}`,
    ]) {
      for (const ask of [get, head]) {
        const authorization = `Basic ${Buffer.from('jane:hers').toString('base64')}`;
        const response = await ask(`${given.v2}/library/alpine/${path}`, { headers: { authorization } });
        expect([401, 407]).not.toContain(response.status);
        expect(response.headers).not.toHaveProperty('www-authenticate');
        expect(response.headers).not.toHaveProperty('proxy-authenticate');
      }
    }
    const sent = given.upstream.requests.map(({ headers }) => headers.authorization);
    expect(new Set(sent)).toEqual(new Set([undefined]));
  });
});
