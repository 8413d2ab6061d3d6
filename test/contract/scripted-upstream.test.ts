/** Holds the scripted upstream to the registry contract, and to what it promises beyond it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { get, head, jsonOf, open, type RequestOptions } from '../support/http.ts';
import { buildImage, buildIndex, contentOf, randomBytes } from '../support/images.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { errorReply, htmlPage, redirectTo } from '../support/scripted-upstream-reply.ts';
import { ScriptedUpstream, type ScriptedUpstreamOptions } from '../support/scripted-upstream.ts';
import { registryContract, type RegistryHarness } from './registry.contract.ts';

const opening = (options: ScriptedUpstreamOptions) => async (): Promise<RegistryHarness> => {
  const upstream = await ScriptedUpstream.start(options);
  return {
    url: upstream.url,
    push: (repository, tag, image) => {
      upstream.push(repository, tag, image);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => upstream.close(),
  };
};

registryContract('the scripted upstream as Docker Hub', opening({}), { pagesTags: true, hasReferrers: true });
registryContract(
  'the scripted upstream as a plain registry',
  opening({ auth: 'none', cdn: false, referrersApi: false }),
  { pagesTags: true, hasReferrers: false },
);

const ACCEPT = { accept: Object.values(MEDIA_TYPE).join(', ') };
const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
const image = buildImage({ seed: 'upstream' });

let upstream: ScriptedUpstream;
const start = async (options: ScriptedUpstreamOptions = {}): Promise<void> => {
  upstream = await ScriptedUpstream.start(options);
  upstream.push('library/alpine', '3', image);
};

/** An Authorization header with a fresh token. */
const login = async (repository = 'library/alpine', headers = {}): Promise<Record<string, string>> => {
  const response = await get(`${upstream.tokenUrl}/token?scope=repository:${repository}:pull`, { headers });
  return { authorization: `Bearer ${(jsonOf(response) as { token: string }).token}` };
};
const manifestOf = (reference: string, options: RequestOptions = {}, repository = 'library/alpine') =>
  get(`${upstream.url}/v2/${repository}/manifests/${reference}`, {
    ...options,
    headers: { ...ACCEPT, ...options.headers },
  });

describe('images', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(buildImage({ seed: 1 }).manifest.digest).toBe(buildImage({ seed: 1 }).manifest.digest);
    expect(buildImage({ seed: 1 }).manifest.digest).not.toBe(buildImage({ seed: 2 }).manifest.digest);
    expect(randomBytes('a', 100)).toEqual(randomBytes('a', 1000).subarray(0, 100));
  });

  it('have layers whose uncompressed digests the config names', () => {
    const { config, layers } = buildImage({ layers: 2, layerSize: 1000 });
    const { rootfs } = JSON.parse(Buffer.from(config.bytes).toString()) as { rootfs: { diff_ids: string[] } };
    expect(rootfs.diff_ids).toEqual(layers.map(({ bytes }) => contentOf(gunzipSync(bytes)).digest));
  });

  it('come with sha512 digests throughout', () => {
    const inner = buildImage({ algorithm: 'sha512' });
    const index = buildIndex([{ image: inner }], { algorithm: 'sha512' });
    for (const { digest } of [index.manifest, inner.manifest, ...inner.blobs]) {
      expect(digest).toMatch(/^sha512:[a-f0-9]{128}$/);
    }
  });
});

describe('ScriptedUpstream', () => {
  afterEach(() => upstream.close());

  describe('as Docker Hub', () => {
    it('challenges with realm, service and scope of another origin', async () => {
      await start();
      const response = await manifestOf('3');
      expect(response.status).toBe(401);
      expect(response.headers['www-authenticate']).toBe(
        `Bearer realm="${upstream.tokenUrl}/token",service="registry.scripted.test",scope="repository:library/alpine:pull"`,
      );
      expect(jsonOf(response)).toMatchObject({
        errors: [{ code: 'UNAUTHORIZED', detail: [{ Name: 'library/alpine', Action: 'pull' }] }],
      });
      const ping = await get(`${upstream.url}/v2/`);
      expect(ping.headers['www-authenticate']).not.toContain('scope');
      expect(new URL(upstream.tokenUrl).origin).not.toBe(new URL(upstream.url).origin);
    });

    it('gives a token to anybody, and tells its life', async () => {
      await start({ tokenLifetimeSeconds: 77 });
      const response = await get(`${upstream.tokenUrl}/token?service=x&scope=repository:no/such:pull`);
      const answer = jsonOf(response) as Record<string, unknown>;
      expect(answer).toMatchObject({
        expires_in: 77,
        issued_at: expect.stringMatching(/\.\d{9}Z$/) as string,
      });
      expect(answer['token']).toBe(answer['access_token']);
      expect(upstream.requests[0]?.query.get('scope')).toBe('repository:no/such:pull');
    });

    it('names the token as told', async () => {
      await start({ tokenFields: ['access_token'], tellsTokenLifetime: false });
      const answer = jsonOf(await get(`${upstream.tokenUrl}/token`)) as object;
      expect(Object.keys(answer)).toEqual(['access_token', 'issued_at']);
    });

    it('refuses a token of another repository, and hides what is private and what does not exist', async () => {
      await start({ credentials: { username: 'ann', password: 'secret' } });
      upstream.push('ann/app', '1', image);
      upstream.makePrivate('ann/app');
      const answers = [
        await manifestOf('3', { headers: await login('library/busybox') }),
        await manifestOf('1', { headers: await login('no/such') }, 'no/such'),
        await manifestOf('1', { headers: await login('ann/app') }, 'ann/app'),
      ];
      for (const response of answers) {
        expect(response.status).toBe(401);
        expect(response.headers['www-authenticate']).toContain('error="insufficient_scope"');
      }
      const headers = await login('ann/app', basic('ann:secret'));
      expect((await manifestOf('1', { headers }, 'ann/app')).status).toBe(200);
    });

    it('refuses expired and unknown tokens as invalid', async () => {
      await start();
      const headers = await login();
      upstream.expireTokens();
      for (const stale of [headers, { authorization: 'Bearer made-up' }]) {
        const response = await manifestOf('3', { headers: stale });
        expect(response.status).toBe(401);
        expect(response.headers['www-authenticate']).toContain('error="invalid_token"');
      }
    });

    it('refuses wrong credentials, and nobody at all where it is told to', async () => {
      await start({ credentials: { username: 'ann', password: 'secret' }, allowAnonymous: false });
      const statusOf = async (headers: Record<string, string>) =>
        (await get(`${upstream.tokenUrl}/token`, { headers })).status;
      expect(await statusOf({})).toBe(401);
      expect(await statusOf(basic('ann:wrong'))).toBe(401);
      expect(await statusOf(basic('ann:secret'))).toBe(200);
    });

    it('does Basic where it is told to', async () => {
      await start({ auth: 'basic', credentials: { username: 'ann', password: 'secret' } });
      const refused = await manifestOf('3');
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([
        401,
        'Basic realm="Scripted Registry"',
      ]);
      expect((await manifestOf('3', { headers: basic('ann:secret') })).status).toBe(200);
    });

    it('counts GETs of manifests against the limit, and neither HEADs nor blobs', async () => {
      await start({ pullLimit: 1 });
      const headers = { ...ACCEPT, ...(await login()) };
      const url = `${upstream.url}/v2/library/alpine/manifests/3`;
      expect((await head(url, { headers })).headers).toMatchObject({
        'ratelimit-limit': '1;w=21600',
        'ratelimit-remaining': '1;w=21600',
        'docker-ratelimit-source': '192.0.2.1',
      });
      expect((await get(url, { headers })).headers['ratelimit-remaining']).toBe('0;w=21600');
      const refused = await get(url, { headers });
      expect(refused.status).toBe(429);
      expect(jsonOf(refused)).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] });
      expect((await head(url, { headers })).status).toBe(200);
      upstream.remainingPulls = 5;
      expect((await get(url, { headers })).status).toBe(200);
    });

    it('sends blobs by signed links to another origin, which takes no Authorization and no HEAD', async () => {
      await start();
      const headers = await login();
      const { digest, bytes } = image.layers[0]!;
      const redirect = await get(`${upstream.url}/v2/library/alpine/blobs/${digest}`, { headers });
      const location = redirect.headers.location ?? '';
      expect(redirect.status).toBe(307);
      expect(new URL(location).origin).toBe(upstream.cdnUrl);
      expect((await get(location)).body).toEqual(Buffer.from(bytes));
      expect((await get(location, { headers })).status).toBe(400);
      expect((await head(location)).status).toBe(403);
      expect((await get(location.replace(/Signature=.*/, 'Signature=x'))).status).toBe(403);
      upstream.expireLinks();
      expect((await get(location)).status).toBe(403);
    });

    it('counts every request with what it was answered, and the bytes of blobs', async () => {
      await start({ cdn: false });
      const headers = await login();
      const { digest, bytes } = image.layers[0]!;
      const url = `${upstream.url}/v2/library/alpine/blobs/${digest}`;
      await get(url);
      await get(url, { headers });
      await get(url, { headers, range: '0-9' });
      await head(url, { headers });
      expect(
        upstream.requests.map(({ kind, method, status }) => `${method} ${kind} ${status ?? ''}`),
      ).toEqual(['GET token 200', 'GET blob 401', 'GET blob 200', 'GET blob 206', 'HEAD blob 200']);
      expect(upstream.count({ kind: 'blob', method: 'GET', reference: digest })).toBe(3);
      expect(upstream.count({ repository: 'library/alpine', status: 200 })).toBe(2);
      expect(upstream.count({ where: (request) => request.headers.range === 'bytes=0-9' })).toBe(1);
      expect(upstream.blobBytesSent).toBe(bytes.length + 10);
      upstream.reset();
      expect([upstream.count(), upstream.blobBytesSent]).toEqual([0, 0]);
    });

    it('pages tags and referrers by links of either kind', async () => {
      await start({
        auth: 'none',
        links: 'absolute',
        tagsPageSize: 1,
        referrersPageSize: 1,
      });
      upstream.tag('library/alpine', '4', image.manifest.digest);
      for (const seed of ['a', 'b']) {
        upstream.push('library/alpine', undefined, buildImage({ seed, subject: image.manifest, layers: 1 }));
      }
      for (const path of ['tags/list', `referrers/${image.manifest.digest}`]) {
        const first = await get(`${upstream.url}/v2/library/alpine/${path}`);
        const link = /^<(http.+)>; rel="next"$/.exec(String(first.headers['link']))?.[1] ?? '';
        const second = await get(link);
        expect(second.status).toBe(200);
        expect(second.body).not.toEqual(first.body);
        expect(second.headers['link']).toBeUndefined();
      }
    });

    it('forgets tags, manifests and blobs as told', async () => {
      await start({ auth: 'none', cdn: false });
      const { digest } = image.layers[0]!;
      upstream.deleteTag('library/alpine', '3');
      expect((await manifestOf('3')).status).toBe(404);
      expect((await manifestOf(image.manifest.digest)).status).toBe(200);
      upstream.deleteManifest('library/alpine', image.manifest.digest);
      expect((await manifestOf(image.manifest.digest)).status).toBe(404);
      upstream.deleteBlob('library/alpine', digest);
      expect((await get(`${upstream.url}/v2/library/alpine/blobs/${digest}`)).status).toBe(404);
    });

    it('goes at the pace of its reader, and keeps what the reader does not take', async () => {
      await start({ auth: 'none', cdn: false });
      const bytes = randomBytes('slow', 64 * 1024 * 1024);
      const digest = upstream.pushBlob('library/alpine', bytes);
      const response = await open(`${upstream.url}/v2/library/alpine/blobs/${digest}`);
      await response.read(1);
      await get(`${upstream.url}/v2/`);
      expect(upstream.blobBytesSent).toBeLessThan(bytes.length / 2);
      expect((await response.rest()).body.length).toBe(bytes.length - 1);
    });

    it('can be unplugged in the middle of a body, and plugged in again at the same place', async () => {
      await start({ auth: 'none', cdn: false });
      const bytes = randomBytes('unplug', 1000);
      const url = `${upstream.url}/v2/library/alpine/blobs/${upstream.pushBlob('library/alpine', bytes)}`;
      const gate = upstream.hold({ kind: 'blob' }, { afterBytes: 400 });
      const response = await open(url);
      await gate.waiting;
      expect(await response.read(400)).toEqual(bytes.subarray(0, 400));
      const { port } = new URL(upstream.url);
      await upstream.stop();
      expect((await response.rest()).isCutShort).toBe(true);
      expect(upstream.connections()).toBe(0);
      await expect(once(connect(Number(port), '127.0.0.1'), 'connect')).rejects.toMatchObject({
        code: 'ECONNREFUSED',
      });
      await upstream.restart();
      expect((await get(url)).body).toEqual(bytes);
    });
  });

  describe('fault', () => {
    const bytes = randomBytes('fault', 300_000);
    let url: string;
    beforeEach(async () => {
      await start({ auth: 'none', cdn: false });
      url = `${upstream.url}/v2/library/alpine/blobs/${upstream.pushBlob('library/alpine', bytes)}`;
    });

    it('meets as many requests as told, one fault after the other', async () => {
      upstream.reply({ kind: 'blob', method: 'GET' }, errorReply(503, 'UNAVAILABLE'), 2);
      upstream.reply({ kind: 'blob' }, errorReply(429, 'TOOMANYREQUESTS', 'slow', { 'retry-after': '7' }));
      upstream.reply({ kind: 'manifest' }, htmlPage());
      const answers = [await get(url), await get(url), await get(url), await get(url)];
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 429, 200]);
      expect(answers[2]?.headers['retry-after']).toBe('7');
      expect((await manifestOf('3')).headers['content-type']).toContain('text/html');
      expect((await manifestOf('3')).headers['content-type']).toBe(MEDIA_TYPE.ociManifest);
    });

    it('does not meet a refusal with 401, unless meant', async () => {
      await upstream.close();
      await start();
      upstream.reply({ kind: 'manifest' }, errorReply(500, 'UNKNOWN'));
      expect((await manifestOf('3')).status).toBe(401);
      expect((await manifestOf('3', { headers: await login() })).status).toBe(500);
      upstream.reply({ kind: 'manifest', status: 401 }, { status: 401 });
      expect((await manifestOf('3')).headers['www-authenticate']).toBeUndefined();
    });

    it.each(['fin', 'rst'] as const)('cuts a body off by %s', async (by) => {
      upstream.fault({ kind: 'blob' }, { cut: { by, afterBytes: 100_000 } });
      const response = await get(url);
      expect(response.isCutShort).toBe(true);
      expect(response.body.length).toBeLessThanOrEqual(100_000);
      expect(upstream.blobBytesSent).toBe(100_000);
      expect(Buffer.compare(response.body, bytes.subarray(0, response.body.length))).toBe(0);
    });

    it.each(['fin', 'rst'] as const)('hangs up by %s instead of answering', async (by) => {
      upstream.fault({ kind: 'blob' }, { cut: { by } });
      await expect(get(url)).rejects.toMatchObject({ code: 'ECONNRESET' });
      expect(upstream.requests[0]?.status).toBeUndefined();
    });

    it('stalls in a body, or before it, until the client leaves', async () => {
      upstream.fault({ kind: 'blob' }, { stall: { afterBytes: 10 } });
      const response = await open(url);
      expect(await response.read(10)).toEqual(bytes.subarray(0, 10));
      response.destroy();
      expect(upstream.blobBytesSent).toBe(10);

      upstream.fault({ kind: 'blob' }, { stall: {} });
      const gate = upstream.hold({ kind: 'blob' });
      const leaving = new AbortController();
      const answer = get(url, { signal: leaving.signal });
      await gate.waiting;
      gate.release();
      leaving.abort();
      await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
      expect(upstream.requests[1]?.status).toBeUndefined();
    });

    it('spoils a byte, lengthens and shortens', async () => {
      upstream.fault({ kind: 'blob' }, { body: flipByte(7) });
      upstream.fault({ kind: 'blob' }, { body: (right) => right.subarray(0, 100) });
      const flipped = (await get(url)).body;
      expect(flipped.length).toBe(bytes.length);
      expect([...flipped.keys()].filter((at) => flipped[at] !== bytes[at])).toEqual([7]);
      const short = await get(url);
      expect([short.headers['content-length'], short.isCutShort]).toEqual(['100', false]);
    });

    it('lies about the length, or tells none', async () => {
      upstream.fault({ kind: 'blob' }, { headers: { 'content-length': '300010' } });
      upstream.fault({ kind: 'blob' }, { headers: { 'content-length': '10' } });
      upstream.fault({ kind: 'blob' }, { headers: { 'content-length': undefined } });
      const tooShort = await get(url);
      expect([tooShort.isCutShort, tooShort.body.length]).toEqual([true, 300_000]);
      expect((await get(url)).body).toEqual(bytes.subarray(0, 10));
      const chunked = await get(url);
      expect(chunked.headers['transfer-encoding']).toBe('chunked');
      expect([chunked.isCutShort, chunked.body.length]).toEqual([false, 300_000]);
    });

    it('sets and takes away headers', async () => {
      upstream.fault({ kind: 'manifest' }, { headers: { 'docker-content-digest': undefined } });
      upstream.fault({ kind: 'manifest' }, { headers: { 'content-type': 'text/plain' } });
      expect((await manifestOf('3')).headers['docker-content-digest']).toBeUndefined();
      expect((await manifestOf('3')).headers).toMatchObject({
        'content-type': 'text/plain',
        'docker-content-digest': image.manifest.digest,
      });
    });

    it('ignores a Range', async () => {
      upstream.fault({ kind: 'blob' }, { ignoresRange: true });
      const response = await get(url, { range: '10-19' });
      expect([response.status, response.body.length]).toEqual([200, 300_000]);
      expect((await get(url, { range: '10-19' })).status).toBe(206);
    });

    it('compresses for whoever offers it', async () => {
      upstream.fault({ kind: 'blob' }, { gzip: true }, 2);
      const headers = { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8' };
      const compressed = await get(url, { headers });
      expect(compressed.headers['content-encoding']).toBe('gzip');
      expect(gunzipSync(compressed.body)).toEqual(bytes);
      expect((await get(url)).headers['content-encoding']).toBeUndefined();
    });

    it('redirects anywhere, and round in circles', async () => {
      upstream.reply({ kind: 'blob' }, redirectTo(url), Infinity);
      for (let hop = 0; hop < 3; hop += 1) expect((await get(url)).headers.location).toBe(url);
      upstream.clearScript();
      expect((await get(url)).status).toBe(200);
    });

    it('spares HEADs what is about bodies', async () => {
      upstream.fault({ kind: 'blob' }, { cut: { by: 'fin', afterBytes: 5 } });
      expect((await head(url)).status).toBe(200);
      expect((await get(url)).isCutShort).toBe(true);
    });
  });

  describe('hold', () => {
    beforeEach(() => start({ auth: 'none', cdn: false }));

    it('holds answers before their headers until released', async () => {
      const gate = upstream.hold({ kind: 'manifest' }, { times: 2 });
      const answers = [manifestOf('3'), manifestOf('3')];
      await gate.arrived(2);
      expect((await manifestOf('3')).status).toBe(200);
      expect(upstream.requests.map(({ status }) => status)).toEqual([undefined, undefined, 200]);
      gate.release();
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
    });

    it('holds one body at several places', async () => {
      const bytes = randomBytes('gates', 2_000_000);
      const digest = upstream.pushBlob('library/alpine', bytes);
      const gates = [0, 1_000_000].map((afterBytes) => upstream.hold({ kind: 'blob' }, { afterBytes }));
      const response = await open(`${upstream.url}/v2/library/alpine/blobs/${digest}`);
      await gates[0]!.waiting;
      expect(upstream.blobBytesSent).toBe(0);
      gates[0]!.release();
      const first = await response.read(1_000_000);
      await gates[1]!.waiting;
      expect(upstream.blobBytesSent).toBe(1_000_000);
      gates[1]!.release();
      const { body, isCutShort } = await response.rest();
      expect(isCutShort).toBe(false);
      expect(Buffer.compare(Buffer.concat([first, body]), bytes)).toBe(0);
    });
  });
});
