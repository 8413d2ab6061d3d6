/** Upstream is away, in every way that it can be: whatever is cached is served all the same, and says how. */
import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../src/config/config.ts';
import { ANONYMOUS } from '../../src/upstream/credentials.ts';
import { RegistryUpstream } from '../../src/upstream/registry-upstream.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, jsonOf } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const PAST_TTL_MS = 61_000;
/** As many as any test asks. */
const ALWAYS = 1000;

const image = buildImage();
const signature = buildImage({
  seed: 'signature',
  subject: image.manifest,
  artifactType: 'application/x.sig',
});
const [layer] = image.layers as [(typeof image.layers)[number]];

/** A pull, and whatever else clients ask for: all of it, checked. @param as in the log */
async function askForAll({ url }: RunningMirror, as: string): Promise<void> {
  const at = (path: string) => `${url}/v2/${REPOSITORY}/${path}`;
  const headers = { 'user-agent': as };
  for (const reference of ['3', image.manifest.digest]) {
    const headed = await head(at(`manifests/${reference}`), { headers });
    expect([headed.status, headed.headers['docker-content-digest']]).toEqual([200, image.manifest.digest]);
    const got = await get(at(`manifests/${reference}`), { headers });
    expect([got.status, digestOf(got.body)]).toEqual([200, image.manifest.digest]);
  }
  for (const { digest, bytes } of image.blobs) {
    expect((await get(at(`blobs/${digest}`), { headers })).body).toEqual(bytes);
    const headed = await head(at(`blobs/${digest}`), { headers });
    expect(headed.headers['content-length']).toBe(String(bytes.length));
  }
  const part = await get(at(`blobs/${layer.digest}`), { headers, range: '10-19' });
  expect([part.status, part.body]).toEqual([206, layer.bytes.subarray(10, 20)]);
  const tags = await get(at('tags/list'), { headers });
  expect([tags.status, jsonOf(tags)]).toEqual([200, { name: REPOSITORY, tags: ['3'] }]);
  const referrers = await get(at(`referrers/${image.manifest.digest}`), { headers });
  expect([referrers.status, jsonOf(referrers)]).toMatchObject([
    200,
    { manifests: [{ digest: signature.manifest.digest }] },
  ]);
}

/** Resolves when all of it is in the store and in the index: clients have it a little earlier. */
async function fill(upstream: ScriptedUpstream, mirror: RunningMirror): Promise<void> {
  upstream.push(REPOSITORY, '3', image);
  upstream.push(REPOSITORY, undefined, signature);
  await askForAll(mirror, 'the first');
  const stored = () => mirror.metric('entrepot_downloads_total{outcome="stored"}');
  await expect.poll(stored).toBe(image.blobs.length);
}

/** How that one was served: what it asked for, by which method, from where. */
function sourcesFor({ log }: RunningMirror, as: string): ReadonlySet<string> {
  const lines = log.filter(({ userAgent }) => userAgent === as);
  return new Set(
    lines.map(({ method, route, reference, source }) => {
      const isTag = reference === '3' ? ' by tag' : '';
      return `${String(method)} ${String(route)}${isTag}: ${String(source)}`;
    }),
  );
}

/** One of each that {@link askForAll} asks for: what is known by its digest needs nobody. */
const SERVED_AWAY = new Set([
  'HEAD manifest by tag: stale',
  'GET manifest by tag: stale',
  'HEAD manifest: hit',
  'GET manifest: hit',
  'GET blob: hit',
  'HEAD blob: hit',
  'GET tags: stale',
  'GET referrers: stale',
]);

async function expectAllServed(mirror: RunningMirror): Promise<void> {
  await askForAll(mirror, 'one who comes late');
  await expect.poll(() => sourcesFor(mirror, 'one who comes late')).toEqual(SERVED_AWAY);
  for (const [route, method] of [
    ['manifest', 'HEAD'],
    ['manifest', 'GET'],
    ['tags', 'GET'],
    ['referrers', 'GET'],
  ] as const) {
    const labels = `{route="${route}",method="${method}",status="200",source="stale"}`;
    expect(await mirror.metric(`entrepot_requests_total${labels}`)).toBe(1);
  }
}

const status = (code: number, retryAfter?: string) => (upstream: ScriptedUpstream) => {
  const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
  upstream.reply({}, errorReply(code, code === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN', 'no', headers), ALWAYS);
};

const OUTAGES: Readonly<Record<string, (upstream: ScriptedUpstream) => void | Promise<void>>> = {
  'refuses connections': (upstream) => upstream.stop(),
  'accepts connections and says nothing': (upstream) => upstream.fault({}, { stall: {} }, ALWAYS),
  'drops every connection': (upstream) => upstream.fault({}, { cut: { by: 'fin' } }, ALWAYS),
  'resets every connection': (upstream) => upstream.fault({}, { cut: { by: 'rst' } }, ALWAYS),
  'says 429': status(429),
  'says 429 and until when': status(429, '3600'),
  'says 500': status(500),
  'says 502': status(502),
  'says 503': status(503),
  'says 503 and until when': status(503, '3600'),
  'says 504': status(504),
  'has no token for us, but a 500': (upstream) => {
    upstream.expireTokens();
    upstream.reply({ origin: 'token' }, { status: 500 }, ALWAYS);
  },
  'sends its web page for everything': (upstream) =>
    upstream.reply({}, { status: 200, headers: { 'content-type': 'text/html' } }, ALWAYS),
};

describe('an upstream that is away', () => {
  const time = movableClock();
  const given = useMirror({ now: time.now, env: { ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: '200ms' } });

  it.each(Object.entries(OUTAGES))('and %s costs nobody what is cached', async (_, beginWith) => {
    const { upstream, mirror } = given;
    await fill(upstream, mirror);
    await beginWith(upstream);
    upstream.reset();

    await askForAll(mirror, 'one who comes soon');
    expect(upstream.requests).toEqual([]);
    expect(mirror.log.filter(({ source }) => source === 'stale')).toEqual([]);
    time.pass(PAST_TTL_MS);
    await expectAllServed(mirror);
  });
});

describe('an upstream whose name leads nowhere any more', () => {
  it('costs nobody what is cached', async () => {
    const time = movableClock();
    await using upstream = await ScriptedUpstream.start({ auth: 'none', cdn: false });
    let isGone = false;
    const lookup: LookupFunction = (hostname, _options, callback) => {
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' });
      if (isGone) callback(error, []);
      else callback(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    const connect = (config: UpstreamConfig) =>
      new RegistryUpstream({
        ...config,
        url: new URL(config.url),
        ...{ lookup, allowedRealms: [], allowedRedirects: [], userAgent: 'entrepot/test' },
        credentials: () => Promise.resolve(ANONYMOUS),
      });
    await using mirror = await startMirror({
      upstreamUrl: `http://registry.test:${new URL(upstream.url).port}`,
      now: time.now,
      upstream: connect,
    });
    await fill(upstream, mirror);
    isGone = true;
    // What is connected needs no name.
    await upstream.restart();
    time.pass(PAST_TTL_MS);
    await expectAllServed(mirror);
    const stale = mirror.log.find(({ source }) => source === 'stale');
    expect(JSON.stringify(stale?.['err'])).toContain('ENOTFOUND');
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/other`)).status).toBe(503);
  });
});
