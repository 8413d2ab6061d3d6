import { cp } from 'node:fs/promises';
import { Agent } from 'node:https';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { run, serveEnv } from '../support/command.ts';
import { get, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type LogLine, type RunningMirror } from '../support/mirror.ts';
import { RawConnection, sendRaw } from '../support/raw-http.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir, type TempDir } from '../support/temp-dir.ts';

const PAIRS = join(import.meta.dirname, '../support/tls');
const MIB = 1024 * 1024;

let files: TempDir;
let upstream: ScriptedUpstream;
let mirror: RunningMirror;

/** What a client has that trusts the one certificate only; each request has a connection of its own. */
function trusting(name: 'a' | 'b'): { readonly agent: Agent } {
  return { agent: new Agent({ ca: readFileSync(join(PAIRS, `${name}.crt`)) }) };
}

async function install(certificate: string, key: string): Promise<void> {
  await cp(join(PAIRS, key), join(files.path, 'tls.key'));
  await cp(join(PAIRS, certificate), join(files.path, 'tls.crt'));
}

/** Resolves when such a line has come since `change` began. */
async function logged(text: string, change: () => Promise<void>): Promise<LogLine> {
  const seen = mirror.log.length;
  await change();
  const find = () => mirror.log.slice(seen).find(({ msg }) => msg.includes(text));
  await expect.poll(find, { timeout: 20_000 }).toBeDefined();
  return find()!;
}

beforeEach(async () => {
  files = await tempDir();
  upstream = await ScriptedUpstream.start();
  await install('a.crt', 'a.key');
  const env = {
    ENTREPOT_TLS_CERTIFICATE: join(files.path, 'tls.crt'),
    ENTREPOT_TLS_KEY: join(files.path, 'tls.key'),
    ENTREPOT_SHUTDOWN_GRACE: '200ms',
  };
  mirror = await startMirror({ upstreamUrl: upstream.url, env, tlsPollMs: 20 });
});

afterEach(async () => {
  await mirror.close();
  await upstream.close();
  await files[Symbol.asyncDispose]();
});

describe('a mirror with a certificate', () => {
  it('serves pulls by HTTPS', async () => {
    const image = buildImage();
    upstream.push('library/alpine', '3', image);
    expect(mirror.url).toMatch(/^https:/);
    const manifest = await get(`${mirror.url}/v2/library/alpine/manifests/3`, trusting('a'));
    expect(digestOf(manifest.body)).toBe(image.manifest.digest);
    for (const { digest } of image.blobs) {
      const blob = await get(`${mirror.url}/v2/library/alpine/blobs/${digest}`, trusting('a'));
      expect(digestOf(blob.body)).toBe(digest);
    }
    await expect(get(`${mirror.url}/v2/`, trusting('b'))).rejects.toThrow('self-signed certificate');
    expect(mirror.adminUrl).toMatch(/^http:/);
  });

  it('gives new connections the new certificate when the files change, while a pull on an old one goes on', async () => {
    const digest = upstream.pushBlob('library/alpine', randomBytes('tls', 2 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const answer = await open(`${mirror.url}/v2/library/alpine/blobs/${digest}`, trusting('a'));
    await gate.waiting;
    const begun = await answer.read(1000);

    await logged('the TLS files changed and are in use', () => install('b.crt', 'b.key'));
    expect((await get(`${mirror.url}/v2/`, trusting('b'))).status).toBe(200);
    await expect(get(`${mirror.url}/v2/`, trusting('a'))).rejects.toThrow('self-signed certificate');

    gate.release();
    const { body, isCutShort } = await answer.rest();
    expect({ digest: digestOf(Buffer.concat([begun, body])), isCutShort }).toEqual({
      digest,
      isCutShort: false,
    });
  });

  it('keeps the old certificate, and says why, when the new files can not be used', async () => {
    const line = await logged('can not be used', () => install('b.crt', 'a.key'));
    expect(line).toMatchObject({
      level: 'error',
      err: { message: expect.stringContaining('tls.crt') as string },
    });
    expect((await get(`${mirror.url}/v2/`, trusting('a'))).status).toBe(200);

    await logged('the TLS files changed and are in use', () => install('b.crt', 'b.key'));
    expect((await get(`${mirror.url}/v2/`, trusting('b'))).status).toBe(200);
  });

  it('ends the connection of a client that speaks plain HTTP to it', async () => {
    expect(await sendRaw(mirror.url, 'GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n')).toEqual([]);
    expect((await get(`${mirror.url}/v2/`, trusting('a'))).status).toBe(200);
  });

  it('is kept no longer than its grace time by clients that never come to the end of their handshakes', async () => {
    using silent = await RawConnection.open(mirror.url);
    using halting = await RawConnection.open(mirror.url);
    halting.send(Buffer.from([0x16, 0x03, 0x01]));
    await get(`${mirror.url}/v2/`, trusting('a'));
    await mirror.close();
    expect([await silent.toEnd(), await halting.toEnd()].map(({ length }) => length)).toEqual([0, 0]);
  });
});

describe('entrepot serve with a certificate and the key of another', () => {
  it('does not start, and names both files', async () => {
    const env = serveEnv({
      upstreamUrl: upstream.url,
      env: {
        ENTREPOT_TLS_CERTIFICATE: join(PAIRS, 'a.crt'),
        ENTREPOT_TLS_KEY: join(PAIRS, 'b.key'),
      },
    });
    const { code, stdout, stderr } = await run([], { cwd: files.path, env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^entrepot: the certificate .*a\.crt and the key .*b\.key can't be used together: .*mismatch/,
    );
  });
});
