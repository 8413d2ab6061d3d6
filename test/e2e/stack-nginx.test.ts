/** A real nginx in front of the mirror for TLS, by the configuration that deploy/ has for it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { freePort } from './support/free-port.ts';
import { startNginx } from './support/nginx.ts';
import { requirePrograms } from './support/programs.ts';
import { run } from './support/run.ts';

const EXAMPLE = join(import.meta.dirname, '../../deploy/nginx-tls.conf');
const TLS = join(import.meta.dirname, '../support/tls');
const MIB = 1024 * 1024;

let stack: AsyncDisposableStack;
let upstream: ScriptedUpstream;
let mirror: RunningMirror;
let address: string;

beforeEach(async () => {
  await requirePrograms();
  stack = new AsyncDisposableStack();
  upstream = stack.use(await ScriptedUpstream.start());
  mirror = stack.use(await startMirror({ upstreamUrl: upstream.url }));
  address = `127.0.0.1:${await freePort()}`;
  const example = await readFile(EXAMPLE, 'utf8');
  const adapted = example
    .replace('server 127.0.0.1:5000', `server ${new URL(mirror.url).host}`)
    .replace('listen 443', `listen ${address}`)
    .replace('/etc/nginx/tls/mirror.crt', join(TLS, 'a.crt'))
    .replace('/etc/nginx/tls/mirror.key', join(TLS, 'a.key'));
  await startNginx(stack, adapted);
});
afterEach(() => stack.disposeAsync());

function curl(path: string, ...options: readonly string[]): Promise<string> {
  const checked = ['--silent', '--show-error', '--cacert', join(TLS, 'a.crt')];
  return run(['curl', ...checked, ...options, `https://${address}${path}`]);
}

const statusOf = (path: string, ...options: readonly string[]) =>
  curl(path, ...options, '--output', '/dev/null', '--write-out', '%{http_code}');

describe('nginx in front of a mirror, for TLS', () => {
  it('lets skopeo pull an image, which checks the certificate and each digest', async () => {
    const image = buildImage();
    upstream.push('library/alpine', '3', image);
    const { path } = stack.use(await tempDir());
    const options = ['--override-arch=amd64', '--override-os=linux', '--src-no-creds'];
    const checked = { env: { SSL_CERT_FILE: join(TLS, 'a.crt') } };
    const source = `docker://${address}/library/alpine:3`;
    await run(['skopeo', 'copy', ...options, source, `dir:${path}/image`], checked);
    expect(digestOf(await readFile(`${path}/image/manifest.json`))).toBe(image.manifest.digest);
    const stranger = { env: { SSL_CERT_FILE: join(TLS, 'b.crt') } };
    await expect(run(['skopeo', 'inspect', source], stranger)).rejects.toThrow('certificate');
  });

  it('carries a large blob, whole and in part, without a copy of its own', async () => {
    const bytes = randomBytes('large', 24 * MIB);
    const digest = upstream.pushBlob('library/alpine', bytes);
    const { path } = stack.use(await tempDir());
    const blob = `/v2/library/alpine/blobs/${digest}`;
    for (const round of ['cold', 'warm']) {
      await curl(blob, '--output', join(path, round));
      expect(digestOf(await readFile(join(path, round)))).toBe(digest);
    }
    await curl(blob, '--range', '1000-1999', '--output', join(path, 'part'));
    expect((await readFile(join(path, 'part'))).equals(bytes.subarray(1000, 2000))).toBe(true);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('passes on what the mirror says of a wish that it does not grant', async () => {
    upstream.push('library/alpine', '3', buildImage());
    expect(JSON.parse(await curl('/v2/library/alpine/manifests/none'))).toMatchObject({
      errors: [{ code: 'MANIFEST_UNKNOWN' }],
    });
    expect(await statusOf('/v2/library/alpine/blobs/uploads/', '--request', 'POST')).toBe('405');
  });

  it('shows the registry and nothing else', async () => {
    expect(await statusOf('/v2/')).toBe('200');
    for (const path of ['/', '/metrics', '/healthz', '/api/v1/state', '/v2/../metrics']) {
      expect(await statusOf(path, '--path-as-is'), path).toBe('404');
    }
  });

  it('does not let a client choose that blobs are left to nginx', async () => {
    const digest = upstream.pushBlob('library/alpine', randomBytes('accel', 2 * MIB));
    const options = ['--header', 'X-Sendfile-Type: x-accel-redirect', '--dump-header', '-'];
    const answer = await curl(`/v2/library/alpine/blobs/${digest}`, ...options, '--output', '/dev/null');
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
    expect(answer.toLowerCase()).toContain(`content-length: ${2 * MIB}`);
  });
});
