/** What is done about the cache by hand, and what clients see of it. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JobView, PurgeView } from '../../src/admin/views.ts';
import { get, jsonOf, request } from '../support/http.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/app';
const image = buildImage({ seed: 'image' });
const other = buildImage({
  seed: 'other',
  layers: [image.layers[0]!.bytes, Buffer.from('of the other alone')],
});
const index = buildIndex([
  { image, platform: { os: 'linux', architecture: 'amd64' } },
  { image: other, platform: { os: 'linux', architecture: 'arm64' } },
]);

async function change<T>({ adminUrl }: RunningMirror, path: string, body: object): Promise<T> {
  const headers = { 'content-type': 'application/json' };
  const answer = await request(`${adminUrl}/api/v1/${path}`, {
    ...{ method: 'POST', headers, body: JSON.stringify(body) },
  });
  expect(answer.status).toBeLessThan(300);
  return jsonOf(answer) as T;
}

async function ended({ adminUrl }: RunningMirror, { id }: JobView): Promise<JobView> {
  const find = async () => jsonOf(await get(`${adminUrl}/api/v1/jobs/${id}`)) as JobView;
  await expect.poll(async () => (await find()).state, { timeout: 20_000 }).not.toBe('running');
  return find();
}

/** Every answer's status. */
async function pull({ url }: RunningMirror, tag: string, pulled: typeof image): Promise<number[]> {
  const v2 = `${url}/v2/${REPOSITORY}`;
  const statuses = [(await get(`${v2}/manifests/${tag}`)).status];
  for (const { digest } of pulled.blobs) statuses.push((await get(`${v2}/blobs/${digest}`)).status);
  return statuses;
}

async function blobFiles({ dataDir }: RunningMirror): Promise<number> {
  const entries = await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

describe.each(['1', '2'])('with %s workers', (workers) => {
  const given = useMirror({ env: { ENTREPOT_WORKERS: workers } });
  const OK = [200, 200, 200, 200];

  it('has what was purged fetched anew, and frees its files but those that others need', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, '1', image);
    upstream.push(REPOSITORY, '2', other);
    // Twice, so that it is answered from every memory that there is.
    for (let time = 0; time < 2; time += 1) {
      expect(await pull(mirror, '1', image)).toEqual(OK);
      expect(await pull(mirror, '2', other)).toEqual(OK);
    }
    await expect.poll(() => blobFiles(mirror)).toBe(5);
    await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
    const purged = await change<PurgeView>(mirror, 'purge', { reference: `${REPOSITORY}:1` });
    const freed = [image.manifest, image.config, image.layers[1]!];
    expect(purged).toEqual({
      freedBytes: freed.reduce((sum, { bytes }) => sum + bytes.length, 0),
      ...{ tags: 1, manifests: 1, blobs: 2, inUse: { blobs: 0, bytes: 0 } },
    });
    expect(await blobFiles(mirror)).toBe(3);
    upstream.reset();
    expect(await pull(mirror, '2', other)).toEqual(OK);
    expect(upstream.requests).toEqual([]);
    upstream.deleteBlob(REPOSITORY, image.layers[1]!.digest);
    expect(await pull(mirror, '1', image)).toEqual([200, 200, 200, 404]);
    expect(upstream.count({ kind: 'manifest', method: 'GET' })).toBe(1);
  });

  it('serves what was prefetched without upstream, and the wanted platform alone', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, '1', index);
    const order = { references: [`${REPOSITORY}:1`], platforms: ['linux/arm64/v8'] };
    const job = await ended(mirror, await change<JobView>(mirror, 'prefetch', order));
    expect(job).toMatchObject({ state: 'succeeded', prefetch: [{ state: 'done' }] });
    const asked = upstream.requests.filter(({ kind }) => kind === 'manifest' || kind === 'blob');
    expect(new Set(asked.map(({ headers }) => headers['x-request-id']))).toEqual(new Set([job.id]));
    await upstream.stop();
    expect(await pull(mirror, other.manifest.digest, other)).toEqual(OK);
    const v2 = `${mirror.url}/v2/${REPOSITORY}`;
    expect((await get(`${v2}/manifests/1`)).status).toBe(200);
    expect((await get(`${v2}/blobs/${image.layers[1]!.digest}`)).status).toBe(503);
  });

  it('keeps nothing when everything is purged', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, '1', image);
    await pull(mirror, '1', image);
    await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
    expect(await change<PurgeView>(mirror, 'purge', { everything: true })).toMatchObject({
      ...{ tags: 1, manifests: 1, blobs: 3 },
    });
    expect(await blobFiles(mirror)).toBe(0);
    await upstream.stop();
    expect(await pull(mirror, '1', image)).toEqual([503, 503, 503, 503]);
  });
});
