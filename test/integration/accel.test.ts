/** What a web server in front is told. That a real one understands it is for the end-to-end tests. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { get, head, type RequestOptions } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { useMirror, type Pair } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const FRONT = { 'X-Sendfile-Type': 'X-Accel-Redirect' };

function fileOf(digest: Digest): string {
  const hex = hexOf(digest);
  return `sha256/${hex.slice(0, 2)}/${hex}`;
}

async function pushStored(
  { upstream, mirror, v2 }: Pair,
  bytes = 2 * MIB,
): Promise<{ digest: Digest; url: string }> {
  const digest = upstream.pushBlob(REPOSITORY, randomBytes('accel', bytes));
  const url = `${v2}/${REPOSITORY}/blobs/${digest}`;
  await get(url, { headers: FRONT });
  // The file is there a moment before its row.
  const stored = () => mirror.metric('entrepot_downloads_total{outcome="stored"}');
  await expect.poll(stored, { timeout: 20_000 }).toBeGreaterThan(0);
  return { digest, url };
}

function blobPath({ dataDir }: RunningMirror, digest: Digest): string {
  return join(dataDir, 'blobs/v1', fileOf(digest));
}

describe.each(['1', '2'])('a mirror of %s processes behind nginx', (workers) => {
  const given = useMirror({ env: { ENTREPOT_ACCEL_HEADER: 'x-accel-redirect', ENTREPOT_WORKERS: workers } });

  it('says where a stored blob is instead of sending it, whole or in part', async () => {
    const { digest, url } = await pushStored(given);
    for (const range of [{}, { range: '5-9' }]) {
      const { status, headers, body } = await get(url, { headers: FRONT, ...range });
      expect({ status, bytes: body.length }).toEqual({ status: 200, bytes: 0 });
      expect(headers).toMatchObject({
        'x-accel-redirect': `/entrepot-blobs/${fileOf(digest)}`,
        'docker-content-digest': digest,
        etag: `"${digest}"`,
        'content-type': 'application/octet-stream',
      });
      expect(headers).not.toHaveProperty('accept-ranges');
    }
  });

  it.each<[string, RequestOptions]>([
    ['does not say that it can', {}],
    ['can do it another way', { headers: { 'X-Sendfile-Type': 'X-Sendfile' } }],
    ['has a condition on the range', { headers: { ...FRONT, 'If-Range': '"another"' }, range: '5-9' }],
  ])('sends it itself to whoever %s', async (_title, options) => {
    const { digest, url } = await pushStored(given);
    const { headers, body } = await get(url, options);
    expect(digestOf(body)).toBe(digest);
    expect(headers).not.toHaveProperty('x-accel-redirect');
  });

  it('sends itself what is small, and what comes in', async () => {
    const { upstream, v2 } = given;
    const { digest, url } = await pushStored(given, MIB - 1);
    expect(digestOf((await get(url, { headers: FRONT })).body)).toBe(digest);
    const cold = upstream.pushBlob(REPOSITORY, randomBytes('cold', 2 * MIB));
    const pulled = await get(`${v2}/${REPOSITORY}/blobs/${cold}`, { headers: FRONT });
    expect(digestOf(pulled.body)).toBe(cold);
  });

  it('answers HEAD, what is not modified, and what there is nothing of, as ever', async () => {
    const { digest, url } = await pushStored(given);
    const answer = await head(url, { headers: FRONT });
    expect([answer.status, answer.headers['content-length']]).toEqual([200, String(2 * MIB)]);
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
    expect((await get(url, { headers: { ...FRONT, 'If-None-Match': `"${digest}"` } })).status).toBe(304);
    expect((await get(url, { headers: FRONT, range: `${2 * MIB}-` })).status).toBe(416);
  });
});

describe('a mirror behind Apache or lighttpd', () => {
  const given = useMirror({ env: { ENTREPOT_ACCEL_HEADER: 'x-sendfile' } });

  it('says by which path the file is found', async () => {
    const { digest, url } = await pushStored(given);
    const { headers, body } = await get(url, { headers: { 'X-Sendfile-Type': 'X-Sendfile' } });
    expect(headers['x-sendfile']).toBe(blobPath(given.mirror, digest));
    expect(body).toHaveLength(0);
  });
});
