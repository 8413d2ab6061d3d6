/** What is answered from memory before the router: the very same, logged, counted and noted as used. */
import { Agent } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { watchHot } from '../support/hot.ts';
import { get, head, request, type RequestOptions, type Response } from '../support/http.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { startMirror, type LogLine } from '../support/mirror.ts';
import { sendRaw } from '../support/raw-http.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const MIB = 1024 * 1024;
const image = buildImage();
const index = buildIndex([{ image, platform: { os: 'linux', architecture: 'amd64' } }]);
const config = `${REPOSITORY}/blobs/${image.config.digest}`;

const given = useMirror();
let hot: ReturnType<typeof watchHot>;
let agent: Agent;

beforeEach(() => {
  given.upstream.push(REPOSITORY, 'latest', image);
  given.upstream.push(REPOSITORY, 'index', index);
  given.upstream.pushBlob(REPOSITORY, Buffer.alloc(0));
  hot = watchHot();
  // One connection, so that one answer is over when the next begins.
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});

afterEach(() => {
  agent.destroy();
  hot[Symbol.dispose]();
});

const ask = (path: string, options: RequestOptions = {}) =>
  request(`${given.mirror.url}/${path}`, { agent, ...options });

/** All but the hour. */
const headersOf = ({ rawHeaders }: Response) => rawHeaders.filter(([name]) => name !== 'Date');

/** Asks until it is in memory: it is fetched, given from the cache, and kept then. */
async function warm(path: string, options: RequestOptions = {}): Promise<Response> {
  // That is the same cold and warm.
  if (path !== 'v2/') await ask(path, { ...options, method: 'GET' });
  await expect.poll(() => given.mirror.metric('entrepot_downloads_running')).toBe(0);
  const { result, isHot } = await hot.by(() => ask(path, options));
  expect(isHot).toBe(false);
  return result;
}

const requestLines = () => given.mirror.log.filter(({ route }) => route !== undefined);

function lineOf(logged: LogLine): Record<string, unknown> {
  const { requestId: _id, time: _time, durationMs: _ms, ttfbMs: _firstByteMs, ...line } = logged;
  return line;
}

const TARGETS = [
  ['/v2/', 'v2/'],
  ['a manifest by tag', `v2/${REPOSITORY}/manifests/latest`],
  ['a manifest by tag of a named upstream', `v2/${REPOSITORY}/manifests/latest?ns=docker.io`],
  ['a manifest by tag below a prefix', `docker.io/v2/${REPOSITORY}/manifests/latest`],
  ['a manifest by digest', `v2/${REPOSITORY}/manifests/${image.manifest.digest}`],
  [
    'a manifest by an escaped digest',
    `v2/${REPOSITORY}/manifests/${image.manifest.digest.replace(':', '%3A')}`,
  ],
  ['an index by tag', `v2/${REPOSITORY}/manifests/index`],
  ['a small blob', `v2/${config}`],
  ['an empty blob', `v2/${REPOSITORY}/blobs/${digestOf(Buffer.alloc(0))}`],
] as const;

describe.each(['GET', 'HEAD'])('an answer to %s from memory', (method) => {
  it.each(TARGETS)('is the very same as the one before, for %s', async (_what, path) => {
    const first = await warm(path, { method });
    const { result: again, isHot } = await hot.by(() => ask(path, { method }));
    expect(isHot).toBe(true);
    expect(first.status).toBe(200);
    expect({ status: again.status, headers: headersOf(again) }).toEqual({
      status: 200,
      headers: headersOf(first),
    });
    expect(again.body.equals(first.body)).toBe(true);
    expect(again.headers.date).toBeDefined();
  });

  it.each(TARGETS)('is logged as the one before was, for %s', async (_what, path) => {
    await warm(path, { method, headers: { 'user-agent': 'a client' } });
    const before = requestLines().length;
    await ask(path, { method, headers: { 'user-agent': 'a client' } });
    await expect.poll(() => requestLines().length).toBe(before + 1);
    const [first, again] = requestLines().slice(-2);
    expect(lineOf(again!)).toEqual(lineOf(first!));
    expect(again!['userAgent']).toBe('a client');
    expect(again!['requestId']).not.toBe(first!['requestId']);
    expect(again!['durationMs']).toBeTypeOf('number');
    expect(again!['ttfbMs']).toBeTypeOf('number');
  });
});

describe('answers from memory', () => {
  it('are counted, with their bytes, under what they are', async () => {
    const path = `v2/${REPOSITORY}/manifests/latest`;
    const { length } = (await warm(path)).body;
    const counted = async () => ({
      requests: await given.mirror.metric(
        'entrepot_requests_total{route="manifest",method="GET",status="200",source="hit"}',
      ),
      bytes: await given.mirror.metric('entrepot_served_bytes_total{route="manifest",source="hit"}'),
      durations: await given.mirror.metric(
        'entrepot_request_duration_seconds_count{route="manifest",source="hit"}',
      ),
      hits: await given.mirror.metric('registry_proxy_hits_total{type="manifest"}'),
    });
    await expect.poll(async () => (await counted()).requests).toBe(1);
    const before = await counted();
    for (let times = 0; times < 3; times += 1) expect((await hot.by(() => ask(path))).isHot).toBe(true);
    const { requests, bytes, durations, hits } = before;
    await expect.poll(counted).toEqual({
      ...{ requests: requests + 3, bytes: bytes + 3 * length },
      ...{ durations: durations + 3, hits: hits + 3 },
    });
  });

  it('count no bytes for a HEAD', async () => {
    const path = `v2/${REPOSITORY}/manifests/latest`;
    await warm(path, { method: 'HEAD' });
    await ask(path, { method: 'HEAD' });
    await expect
      .poll(() => requestLines().map(({ bytes }) => bytes))
      .toEqual([image.manifest.bytes.length, 0, 0]);
  });

  it('end the connection where the client wants that, and to HTTP/1.0', async () => {
    await warm(`v2/${config}`);
    for (const version of ['1.1', '1.0']) {
      const line = `GET /v2/${config} HTTP/${version}\r\nHost: mirror\r\nConnection: close\r\n\r\n`;
      const { result, isHot } = await hot.by(() => sendRaw(given.mirror.url, line));
      expect(isHot).toBe(true);
      expect(result.map(({ status, body }) => [status, body])).toEqual([
        [200, Buffer.from(image.config.bytes).toString()],
      ]);
      expect(result[0]!.headers['connection']).toBe('close');
    }
  });

  it('come in order, each whole, to a client that sends many requests ahead', async () => {
    const manifest = `v2/${REPOSITORY}/manifests/latest`;
    for (const path of [`v2/${config}`, manifest]) await warm(path);
    const lines = Array.from({ length: 50 }, (_, number) => {
      const path = number % 2 === 0 ? `v2/${config}` : manifest;
      const end = number === 49 ? 'Connection: close\r\n' : '';
      return `GET /${path} HTTP/1.1\r\nHost: mirror\r\n${end}\r\n`;
    });
    const responses = await sendRaw(given.mirror.url, lines.join(''));
    const expected = [image.config, image.manifest].map(({ bytes }) => Buffer.from(bytes).toString());
    expect(responses.map(({ body }) => body)).toEqual(lines.map((_, number) => expected[number % 2]));
  });
});

describe('a request that wants something else than what is in memory', () => {
  const manifest = `v2/${REPOSITORY}/manifests/latest`;
  beforeEach(async () => {
    for (const path of [manifest, `v2/${config}`]) await warm(path);
  });

  it('gets 304 where it has it already', async () => {
    const headers = { 'if-none-match': `"${image.manifest.digest}"` };
    for (const method of ['GET', 'HEAD']) expect((await ask(manifest, { method, headers })).status).toBe(304);
  });

  it('gets the whole where what it has is something else', async () => {
    const { status, body } = await ask(manifest, { headers: { 'if-none-match': '"sha256:0"' } });
    expect([status, digestOf(body)]).toEqual([200, image.manifest.digest]);
  });

  it('gets the part that it asks for', async () => {
    const { status, body } = await ask(`v2/${config}`, { range: '1-5' });
    expect([status, body]).toEqual([206, Buffer.from(image.config.bytes.subarray(1, 6))]);
    expect((await ask(`v2/${config}`, { range: '999999-' })).status).toBe(416);
    const condition = { 'if-range': '"sha256:0"' };
    expect((await ask(`v2/${config}`, { range: '1-5', headers: condition })).status).toBe(200);
  });

  it('is refused where it wants to write', async () => {
    for (const method of ['PUT', 'DELETE']) expect((await ask(manifest, { method })).status).toBe(405);
  });

  it('loses its connection where it brings a body, and no later one does by that', async () => {
    const { headers } = await ask(manifest, { body: 'a body', headers: { 'content-length': '6' } });
    expect(headers.connection).toBe('close');
    expect((await ask(manifest)).headers.connection).toBe('keep-alive');
  });
});

describe('what is kept in memory', () => {
  it.each([
    ['a query that means nothing', `v2/${REPOSITORY}/manifests/latest?x=1`],
    ['a query with more than the upstream', `v2/${REPOSITORY}/manifests/latest?ns=docker.io&x=1`],
    ['an escape that nobody needs', `v2/${REPOSITORY}/manifests/latest?ns=docker%2Eio`],
    ['a ping by another path', `whatever/v2/`],
    ['a list of tags', `v2/${REPOSITORY}/tags/list`],
    ['what does not exist', `v2/${REPOSITORY}/manifests/other`],
  ])('is not %s', async (_what, path) => {
    for (let times = 0; times < 3; times += 1) {
      expect((await hot.by(() => ask(path))).isHot).toBe(false);
    }
  });

  it('is not a large blob, but what a HEAD says of it', async () => {
    const bytes = randomBytes(1, 64 * 1024 + 1);
    const path = `v2/${REPOSITORY}/blobs/${given.upstream.pushBlob(REPOSITORY, bytes)}`;
    for (let times = 0; times < 3; times += 1) {
      const { isHot, result } = await hot.by(() => ask(path));
      expect([isHot, digestOf(result.body)]).toEqual([false, digestOf(bytes)]);
      await expect.poll(() => given.mirror.metric('entrepot_downloads_running')).toBe(0);
    }
    await ask(path, { method: 'HEAD' });
    const { isHot, result } = await hot.by(() => ask(path, { method: 'HEAD' }));
    expect([isHot, result.headers['content-length']]).toEqual([true, String(bytes.length)]);
  });
});

describe('an eviction', () => {
  it('spares what was used from memory alone', async () => {
    await using upstream = await ScriptedUpstream.start();
    const time = movableClock();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      now: time.now,
      env: { ENTREPOT_CACHE_MAX_SIZE: '10MiB', ENTREPOT_CACHE_LOW_WATER: '100%' },
    });
    const urlOf = (digest: Digest) => `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const [first, second, third, fourth, fifth] = [1, 2, 3, 4, 5].map((seed) =>
      upstream.pushBlob(REPOSITORY, randomBytes(seed, 2.4 * MIB)),
    ) as [Digest, Digest, Digest, Digest, Digest];
    for (const digest of [first, second, third, fourth]) {
      await get(urlOf(digest));
      await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
      await head(urlOf(digest));
      // Uses of one digest that are less far apart count as one.
      time.pass(61_000);
    }
    const { isHot } = await hot.by(() => head(urlOf(first)));
    expect(isHot).toBe(true);
    await get(urlOf(fifth));
    await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
    upstream.reset();
    await get(urlOf(first));
    expect(upstream.requests).toEqual([]);
    await get(urlOf(second));
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });
});
