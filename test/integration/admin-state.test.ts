/** What whoever runs the mirror sees of it over the admin API, while it does what it is there for. */
import { rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type {
  ClientView,
  DownloadView,
  HistoryView,
  JobView,
  StateView,
  TrafficView,
  TroubleView,
} from '../../src/admin/views.ts';
import { get, jsonOf, open, request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const given = useMirror({ scripted: { pullLimit: 100 } });

async function read<T>({ adminUrl }: RunningMirror, path: string): Promise<T> {
  const answer = await get(`${adminUrl}/api/v1/${path}`);
  expect(answer.status).toBe(200);
  return jsonOf(answer) as T;
}

const stateOf = (mirror: RunningMirror) => read<StateView>(mirror, 'state');

async function change({ adminUrl }: RunningMirror, method: string, path: string, body: object) {
  const headers = { 'content-type': 'application/json' };
  return request(`${adminUrl}/api/v1/${path}`, { method, headers, body: JSON.stringify(body) });
}

/** As docker does, by the tag. @returns bytes of what was asked for */
async function pull(
  { url }: RunningMirror,
  image: ReturnType<typeof buildImage>,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const v2 = `${url}/v2/${REPOSITORY}`;
  const answers = [await get(`${v2}/manifests/3`, { headers })];
  for (const { digest } of image.blobs) answers.push(await get(`${v2}/blobs/${digest}`, { headers }));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  return answers.reduce((sum, { body }) => sum + body.length, 0);
}

/** A client has its bytes before they are stored. */
async function untilStored(mirror: RunningMirror): Promise<void> {
  await expect.poll(async () => (await stateOf(mirror)).downloads).toEqual({ running: 0, queued: 0 });
}

/** As it is when the last answers are counted. */
async function trafficOf(mirror: RunningMirror, requests: number): Promise<StateView['traffic']> {
  const traffic = async () => (await stateOf(mirror)).traffic;
  await expect.poll(async () => (await traffic()).sinceStart.requests).toBe(requests);
  return traffic();
}

const without = ({ since: _since, ...counts }: TrafficView) => counts;

describe('the state', () => {
  it.each([1, 2])('tells what was asked, served and saved (%d processes)', async (workers) => {
    const { upstream } = given;
    const image = buildImage({ layers: 2, layerSize: 50_000 });
    upstream.push(REPOSITORY, '3', image);
    const env = { ENTREPOT_WORKERS: String(workers) };
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env });
    const bytes = await pull(mirror, image);
    await untilStored(mirror);
    await pull(mirror, image);
    await pull(mirror, image);
    const { sinceStart, recorded } = await trafficOf(mirror, 12);
    expect(without(sinceStart)).toEqual({
      ...{ requests: 12, hits: 8 },
      ...{ servedBytes: 3 * bytes, hitBytes: 2 * bytes, fetchedBytes: bytes, savedBytes: 2 * bytes },
    });
    expect(without(recorded)).toEqual(without(sinceStart));
    const { points, stepSeconds } = await read<HistoryView>(mirror, `history?step=60`);
    expect(stepSeconds).toBeGreaterThanOrEqual(60);
    expect(points.reduce((sum, { requests }) => sum + requests, 0)).toBe(12);
    const state = await stateOf(mirror);
    expect(state.workers).toBe(workers === 1 ? 0 : workers);
    expect(state.cache).toMatchObject({ bytes, blobs: 3, manifests: 1, partialBytes: 0, pinnedBytes: 0 });
  });

  it('tells who it is, where it listens, and how it and its upstream do', async () => {
    const { mirror, upstream, v2 } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    const before = await stateOf(mirror);
    await pull(mirror, image);
    await untilStored(mirror);
    const state = await stateOf(mirror);
    const { host } = new URL(upstream.url);
    expect(state).toMatchObject({
      ...{ instance: before.instance, version: '0.0.0-test', registryUrl: mirror.url, isOffline: false },
      health: { status: 'ok', faults: [], warnings: [] },
      upstreams: [
        {
          ...{ name: host, url: upstream.url, isDefault: true, account: 'anonymous' },
          rateLimit: { limit: 100, remaining: 99 },
          hosts: expect.arrayContaining([{ host, circuit: 'closed' }]) as unknown,
        },
      ],
      scrub: { isRunning: false, corruptBlobs: 0 },
    });
    expect(state.cache.diskFreeBytes).toBeGreaterThan(0);
    expect(state.cache.reachableBytes).toBeLessThanOrEqual(state.cache.maxBytes);
    for (const path of ['/', '/', '']) {
      expect((await get(`${v2}${path}`)).headers['x-entrepot-instance']).toBe(state.instance);
    }
  });

  it.each([1, 2])(
    'is another instance after each start, and goes on with what was recorded (%d processes)',
    async (workers) => {
      await using directory = await tempDir();
      const { upstream } = given;
      const image = buildImage();
      upstream.push(REPOSITORY, '3', image);
      const env = { ENTREPOT_WORKERS: String(workers) };
      const options = { upstreamUrl: upstream.url, dataDir: directory.path, env };
      const instances: string[] = [];
      let served = 0;
      for (const start of [1, 2, 3]) {
        await using mirror = await startMirror(options);
        served += await pull(mirror, image);
        await untilStored(mirror);
        const { sinceStart, recorded } = await trafficOf(mirror, 1 + image.blobs.length);
        expect(recorded).toMatchObject({ requests: start * sinceStart.requests, servedBytes: served });
        expect(Date.parse(recorded.since)).toBeLessThanOrEqual(Date.parse(sinceStart.since));
        const { points } = await read<HistoryView>(mirror, 'history?step=3600');
        expect(points.reduce((sum, point) => sum + point.servedBytes, 0)).toBe(served);
        const { instance } = await stateOf(mirror);
        // The first answer comes from the router, and the last ones from memory.
        for (let ping = 0; ping < 4; ping += 1) {
          expect((await get(`${mirror.url}/v2/`)).headers['x-entrepot-instance']).toBe(instance);
        }
        instances.push(instance);
      }
      expect(new Set(instances).size).toBe(3);
    },
  );
});

describe('the state of a mirror whose disk is gone', () => {
  it('says so, and what was known of the cache when it was last looked at', async () => {
    const { mirror, upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    await pull(mirror, image);
    await untilStored(mirror);
    const { cache } = await stateOf(mirror);
    await rename(mirror.dataDir, `${mirror.dataDir}.away`);
    try {
      const state = await stateOf(mirror);
      expect(state.health).toMatchObject({ status: 'degraded', faults: [] });
      expect(state.cache).toEqual(cache);
    } finally {
      await rename(`${mirror.dataDir}.away`, mirror.dataDir);
    }
    expect((await stateOf(mirror)).health.status).toBe('ok');
  });
});

describe('what goes on', () => {
  it('is a download with its progress, while upstream still sends it and clients wait', async () => {
    const { mirror, upstream, v2 } = given;
    const bytes = randomBytes('slow', 2 * MIB);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    const gate = upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: MIB });
    const clients = [
      await open(`${v2}/${REPOSITORY}/blobs/${digest}`),
      await open(`${v2}/${REPOSITORY}/blobs/${digest}`),
    ];
    await gate.waiting;
    const downloads = () => read<readonly DownloadView[]>(mirror, 'downloads');
    await expect.poll(downloads).toEqual([
      {
        ...{ digest, upstream: new URL(upstream.url).host, repository: REPOSITORY, state: 'running' },
        ...{ bytes: MIB, size: 2 * MIB, clients: 2 },
        startedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      },
    ]);
    expect((await stateOf(mirror)).downloads).toEqual({ running: 1, queued: 0 });
    gate.release();
    for (const client of clients) expect((await client.rest()).body).toHaveLength(2 * MIB);
    await expect.poll(downloads).toEqual([]);
  });

  it('is who asks, by address and User-Agent', async () => {
    const { mirror, upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    await pull(mirror, image, { 'user-agent': 'docker/27.5' });
    await get(`${mirror.url}/v2/`, { headers: { 'user-agent': 'containerd/2.0' } });
    const lastSeenAt = expect.any(String) as string;
    await expect
      .poll(() => read<readonly ClientView[]>(mirror, 'clients'))
      .toEqual([
        { address: '127.0.0.1', userAgent: 'containerd/2.0', requests: 1, lastSeenAt },
        {
          ...{ address: '127.0.0.1', userAgent: 'docker/27.5', lastSeenAt },
          requests: 1 + image.blobs.length,
        },
      ]);
  });

  it('is what is wrong, and why, without what is secret', async () => {
    const password = 'pass-77c1';
    const credentials = { username: 'robot', password };
    await using upstream = await ScriptedUpstream.start({ credentials, allowAnonymous: false });
    const env = { ENTREPOT_UPSTREAM_USERNAME: 'robot', ENTREPOT_UPSTREAM_PASSWORD: password };
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env });
    upstream.push(REPOSITORY, '3', buildImage());
    upstream.reply({ kind: 'manifest' }, { status: 500, body: Buffer.from('down') }, 100);
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`)).status).toBe(503);
    const troubles = () => read<readonly TroubleView[]>(mirror, 'errors');
    await expect.poll(async () => (await troubles()).length).toBeGreaterThan(0);
    const found = await troubles();
    expect(found).toContainEqual({
      at: expect.any(String) as string,
      level: 'warn',
      message: `GET ${REPOSITORY} 3 503`,
      reason: expect.stringContaining('500') as string,
      requestId: expect.any(String) as string,
    });
    expect(JSON.stringify([found, await stateOf(mirror)])).not.toContain(password);
    expect((await stateOf(mirror)).upstreams).toMatchObject([{ account: 'password' }]);
  });
});

describe('what is done by hand', () => {
  it('switches upstream off and on: what is not here is refused, and nobody is asked for it', async () => {
    const { mirror, upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    expect((await change(mirror, 'PUT', 'offline', { offline: true })).status).toBeLessThan(300);
    expect(await stateOf(mirror)).toMatchObject({ isOffline: true, health: { status: 'degraded' } });
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`)).status).toBe(503);
    expect(upstream.requests).toEqual([]);
    await change(mirror, 'PUT', 'offline', { offline: false });
    await pull(mirror, image);
    expect(await stateOf(mirror)).toMatchObject({ isOffline: false, health: { status: 'ok' } });
  });

  it('reads all blobs again as a job, although no scrub comes round by itself', async () => {
    const { upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    const env = { ENTREPOT_SCRUB_RATE: '0' };
    await using mirror = await startMirror({ upstreamUrl: upstream.url, env });
    await pull(mirror, image);
    await untilStored(mirror);
    for (const kind of ['scrub', 'check']) {
      const begun = await change(mirror, 'POST', kind, {});
      expect(begun.status).toBe(202);
      const { id } = jsonOf(begun) as JobView;
      const job = () => read<JobView>(mirror, `jobs/${id}`);
      await expect.poll(async () => (await job()).state).toBe('succeeded');
      if (kind === 'scrub') expect((await job()).scrub?.scannedBlobs).toBe(image.blobs.length);
    }
    expect((await stateOf(mirror)).scrub).toMatchObject({
      scannedBlobs: image.blobs.length,
      lastCompletedAt: expect.any(String) as string,
    });
  });

  it('ends a scrub that is called off, and has it not go on by itself', async () => {
    const { upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    // To open one of the blobs alone takes a minute of that.
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_SCRUB_RATE: '1KiB' },
    });
    await pull(mirror, image);
    await untilStored(mirror);
    const { id } = jsonOf(await change(mirror, 'POST', 'scrub', {})) as JobView;
    await expect.poll(async () => (await stateOf(mirror)).scrub.isRunning).toBe(true);
    await request(`${mirror.adminUrl}/api/v1/jobs/${id}`, { method: 'DELETE' });
    await expect.poll(async () => (await read<JobView>(mirror, `jobs/${id}`)).state).toBe('cancelled');
    const { scrub } = await stateOf(mirror);
    expect(scrub).toEqual({ isRunning: false, scannedBlobs: 0, scannedBytes: 0, corruptBlobs: 0 });
  });

  it('is told in the log, a line each', async () => {
    const { mirror, upstream } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    await pull(mirror, image);
    await untilStored(mirror);
    const infos = () => mirror.log.filter(({ level }) => level === 'info').map(({ msg }) => msg);
    await change(mirror, 'POST', 'pins', { reference: `${REPOSITORY}:3` });
    await request(`${mirror.adminUrl}/api/v1/pins?reference=${REPOSITORY}:3`, { method: 'DELETE' });
    await change(mirror, 'PUT', 'offline', { offline: true });
    await change(mirror, 'PUT', 'offline', { offline: false });
    expect((await change(mirror, 'POST', 'purge', { reference: `${REPOSITORY}:3` })).status).toBe(200);
    await change(mirror, 'POST', 'evict', {});
    await expect
      .poll(infos)
      .toEqual(
        expect.arrayContaining([
          ...['pinned', 'no longer pinned', `${REPOSITORY}:3 was purged`],
          ...['switched offline: upstream is asked for nothing', 'switched online again'],
          ...['the job evict began', 'the job evict succeeded'],
        ]),
      );
  });
});
