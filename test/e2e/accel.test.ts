/** A real nginx in front of the mirror, by the configuration that deploy/ has for it. */
import { chmod, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { get, head, request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { freePort } from './support/free-port.ts';
import { startNginx } from './support/nginx.ts';
import { requirePrograms } from './support/programs.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const EXAMPLE = join(import.meta.dirname, '../../deploy/nginx-accel.conf');

let stack: AsyncDisposableStack;
let upstream: ScriptedUpstream;
let mirror: RunningMirror;
let front: string;

beforeEach(async () => {
  await requirePrograms();
  stack = new AsyncDisposableStack();
  upstream = stack.use(await ScriptedUpstream.start());
  const env = { ENTREPOT_ACCEL_HEADER: 'x-accel-redirect', ENTREPOT_LOG_LEVEL: 'debug' };
  mirror = stack.use(await startMirror({ upstreamUrl: upstream.url, env }));
  front = await startFront();
});
afterEach(() => stack.disposeAsync());

async function startFront(): Promise<string> {
  // Its processes are another user's.
  await chmod(mirror.dataDir, 0o755);
  const port = await freePort();
  const example = await readFile(EXAMPLE, 'utf8');
  const adapted = example
    .replace('server 127.0.0.1:5000', `server ${new URL(mirror.url).host}`)
    .replace('listen 80', `listen 127.0.0.1:${port}`)
    .replace('/var/lib/entrepot', mirror.dataDir);
  await startNginx(stack, adapted);
  return `http://127.0.0.1:${port}`;
}

function pathOf(digest: Digest): string {
  const hex = hexOf(digest);
  return join(mirror.dataDir, 'blobs/v1/sha256', hex.slice(0, 2), hex);
}

async function pushStored(seed: string, bytes: number): Promise<Digest> {
  const digest = upstream.pushBlob(REPOSITORY, randomBytes(seed, bytes));
  await get(`${front}/v2/${REPOSITORY}/blobs/${digest}`);
  await expect.poll(() => mirror.log.some(({ outcome }) => outcome === 'stored')).toBe(true);
  return digest;
}

/** How the mirror answered last, which is told a moment after. */
async function lastLine(path: string) {
  await expect.poll(() => mirror.log.some(({ msg }) => msg.includes(path))).toBe(true);
  return mirror.log.findLast(({ msg }) => msg.includes(path));
}

describe('nginx in front of a mirror', () => {
  it('sends a stored blob from its file, with the headers of the mirror', async () => {
    const digest = await pushStored('stored', 3 * MIB);
    const url = `/v2/${REPOSITORY}/blobs/${digest}`;
    const whole = await get(front + url);
    expect({ status: whole.status, digest: digestOf(whole.body) }).toEqual({ status: 200, digest });
    expect(whole.headers).toMatchObject({
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'content-type': 'application/octet-stream',
      'content-length': String(3 * MIB),
      'accept-ranges': 'bytes',
      'docker-distribution-api-version': 'registry/2.0',
      'x-content-type-options': 'nosniff',
    });
    expect(whole.headers).not.toHaveProperty('x-accel-redirect');
    const lines = mirror.log.filter(({ msg }) => msg.includes(`${digest} 200 hit`));
    expect(lines.map(({ bytes }) => bytes)).toEqual([0]);
  });

  it('sends the part that is asked for, and all where the condition on it is not met', async () => {
    const digest = await pushStored('part', 3 * MIB);
    const url = `${front}/v2/${REPOSITORY}/blobs/${digest}`;
    const bytes = randomBytes('part', 3 * MIB);
    const part = await get(url, { range: '1000000-2999999' });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes 1000000-2999999/${3 * MIB}`);
    expect(part.headers['docker-content-digest']).toBe(digest);
    expect(part.body.equals(bytes.subarray(1_000_000, 3_000_000))).toBe(true);
    const resumed = await get(url, { range: '5-', headers: { 'If-Range': `"${digest}"` } });
    expect([resumed.status, resumed.body.length]).toEqual([206, 3 * MIB - 5]);
    const other = await get(url, { range: '5-', headers: { 'If-Range': '"other"' } });
    expect([other.status, digestOf(other.body)]).toEqual([200, digest]);
    expect((await get(url, { range: `${3 * MIB}-` })).status).toBe(416);
    expect((await get(url, { headers: { 'If-None-Match': `"${digest}"` } })).status).toBe(304);
    expect((await head(url)).headers['content-length']).toBe(String(3 * MIB));
  });

  it('passes on what the mirror sends itself: manifests, small blobs, and what comes in', async () => {
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    const manifest = await get(`${front}/v2/${REPOSITORY}/manifests/3`);
    expect(digestOf(manifest.body)).toBe(image.manifest.digest);
    for (const { digest } of [...image.blobs, ...image.blobs]) {
      expect(digestOf((await get(`${front}/v2/${REPOSITORY}/blobs/${digest}`)).body)).toBe(digest);
    }
  });

  it('has the mirror send a blob whose file is gone, which fetches it again', async () => {
    const digest = await pushStored('gone', 3 * MIB);
    const url = `/v2/${REPOSITORY}/blobs/${digest}`;
    await rm(pathOf(digest));
    const pulled = await get(front + url);
    expect({ status: pulled.status, digest: digestOf(pulled.body) }).toEqual({ status: 200, digest });
    expect(upstream.count({ kind: 'cdn' })).toBe(2);
  });

  it('gives nobody the files by their own names, and nobody a redirect who asks by himself', async () => {
    const digest = await pushStored('private', 3 * MIB);
    const hex = hexOf(digest);
    expect((await get(`${front}/entrepot-blobs/sha256/${hex.slice(0, 2)}/${hex}`)).status).toBe(404);
    const direct = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect(digestOf(direct.body)).toBe(digest);
    const told = await request(`${front}/v2/${REPOSITORY}/blobs/${digest}`, {
      headers: { 'X-Sendfile-Type': 'X-Sendfile' },
    });
    expect(digestOf(told.body)).toBe(digest);
    expect(await lastLine(digest)).toMatchObject({ status: 200 });
  });
});
