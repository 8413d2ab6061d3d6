/** A mirror that asks nobody, because it is switched offline, and one that starts while there is nobody to ask. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { serve } from '../support/command.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, jsonOf } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const REPOSITORY = 'library/alpine';
const OFFLINE = { ENTREPOT_OFFLINE: 'true' };
const MISSING = digestOf(Buffer.from('missing'));

const image = buildImage();
const UNCACHED = [
  'manifests/other',
  `manifests/${MISSING}`,
  `blobs/${MISSING}`,
  `referrers/${MISSING}`,
  'tags/list',
];

/** As dockerd does. */
async function pull(url: string): Promise<void> {
  const at = (path: string) => `${url}/v2/${REPOSITORY}/${path}`;
  const headed = await head(at('manifests/3'));
  expect([headed.status, headed.headers['docker-content-digest']]).toEqual([200, image.manifest.digest]);
  for (const reference of ['3', image.manifest.digest]) {
    expect(digestOf((await get(at(`manifests/${reference}`))).body)).toBe(image.manifest.digest);
  }
  for (const { digest } of image.blobs) {
    expect(digestOf((await get(at(`blobs/${digest}`))).body)).toBe(digest);
  }
}

/** A mirror that has it all and is closed; its data are left. */
async function filled(upstream: ScriptedUpstream, now?: () => number): Promise<RunningMirror> {
  const mirror = await startMirror({ upstreamUrl: upstream.url, ...(now ? { now } : {}) });
  upstream.push(REPOSITORY, '3', image);
  await pull(mirror.url);
  await mirror.app.close();
  upstream.reset();
  return mirror;
}

describe('a mirror that is switched offline', () => {
  it('serves what is cached, tags past their TTL as stale, and asks upstream for nothing', async () => {
    const time = movableClock();
    await using upstream = await ScriptedUpstream.start();
    await using first = await filled(upstream, time.now);
    const options = { upstreamUrl: upstream.url, dataDir: first.dataDir, now: time.now, env: OFFLINE };
    await using mirror = await startMirror(options);
    await pull(mirror.url);
    expect(mirror.log.filter(({ source }) => source === 'stale')).toEqual([]);
    time.pass(61_000);
    await pull(mirror.url);
    const stale = () => mirror.log.filter(({ source }) => source === 'stale');
    await expect.poll(stale).toHaveLength(2);
    // It was meant: nothing to warn of.
    for (const line of stale()) {
      expect(line).toMatchObject({
        level: 'info',
        staleBecause: expect.stringContaining('offline') as string,
      });
    }
    const tags = await get(`${mirror.url}/v2/${REPOSITORY}/tags/list`);
    expect(jsonOf(tags)).toEqual({ name: REPOSITORY, tags: ['3'] });
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/referrers/${image.manifest.digest}`)).status).toBe(200);
    expect(upstream.requests).toEqual([]);
    expect(upstream.connections()).toBe(0);
    await mirror.close();
  });

  it('refuses what is not cached, and says why', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env: OFFLINE });
    upstream.push(REPOSITORY, '3', image);
    for (const path of UNCACHED) {
      const answer = await get(`${mirror.url}/v2/${REPOSITORY}/${path}`);
      expectError(answer, 503, 'UNAVAILABLE');
      expect(answer.body.toString()).toContain('the mirror is offline');
      expectHeadError(await head(`${mirror.url}/v2/${REPOSITORY}/${path}`), 503);
    }
    expect(upstream.requests).toEqual([]);
    expect((await get(`${mirror.url}/v2/`)).status).toBe(200);
  });

  it('is ready, with a warning, and says so by a metric', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env: OFFLINE });
    const ready = await get(`${mirror.adminUrl}/readyz`);
    expect([ready.status, jsonOf(ready)]).toEqual([
      200,
      { status: 'degraded', faults: [], warnings: [expect.stringContaining('offline') as string] },
    ]);
    expect(await mirror.metric('entrepot_offline')).toBe(1);
    await using online = await startMirror({ upstreamUrl: upstream.url });
    expect(jsonOf(await get(`${online.adminUrl}/readyz`))).toMatchObject({ status: 'ok', warnings: [] });
    expect(await online.metric('entrepot_offline')).toBe(0);
  });
});

describe('a mirror that is started', () => {
  it('with upstream unplugged serves what is cached, and the rest when upstream comes', async () => {
    const time = movableClock();
    await using upstream = await ScriptedUpstream.start();
    await using first = await filled(upstream, time.now);
    await upstream.stop();
    time.pass(61_000);
    const options = { upstreamUrl: upstream.url, dataDir: first.dataDir, now: time.now };
    await using mirror = await startMirror(options);
    await pull(mirror.url);
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(200);
    const other = buildImage({ seed: 'other' });
    upstream.push(REPOSITORY, 'other', other);
    const url = `${mirror.url}/v2/${REPOSITORY}/manifests/other`;
    expectError(await get(url), 503, 'UNAVAILABLE');
    await upstream.restart();
    time.pass(15_000);
    expect((await get(url)).body).toEqual(other.manifest.bytes);
    await mirror.close();
  });

  it.each([
    ['a name that does not exist', 'http://registry.invalid:5000'],
    ['an address where nobody listens', 'http://127.0.0.1:9'],
  ])('with %s for its upstream listens, is ready and says that upstream is away', async (_, upstreamUrl) => {
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl });
    expect((await get(`${mirror.url}/v2/`)).status).toBe(200);
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(200);
    expectError(await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`), 503, 'UNAVAILABLE');
    expect(mirror.command.stdout).toContain('does not answer; it is left alone');
    mirror.command.kill('SIGTERM');
    expect(await mirror.command.exited).toEqual({ code: 0, signal: null });
  });

  it('with upstream unplugged and switched offline serves all that it has, as a process of its own', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    upstream.push(REPOSITORY, '3', image);
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    {
      await using mirror = await serve(options);
      await pull(mirror.url);
      mirror.command.kill('SIGTERM');
      await mirror.command.exited;
    }
    await upstream.stop();
    await using mirror = await serve({ ...options, env: { ...OFFLINE, ENTREPOT_TAG_TTL: '0' } });
    await pull(mirror.url);
    await mirror.command.until('"source":"stale"');
  });
});
