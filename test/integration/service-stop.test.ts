import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { serve, type Serving } from '../support/command.ts';
import { get, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { RawConnection } from '../support/raw-http.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir, type TempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const BLOB = randomBytes('stop', 2 * MIB);
const FOREVER = { ENTREPOT_SHUTDOWN_GRACE: '1h' };
const CLEAN_END = { code: 0, signal: null };

async function filesBelow(cwd: TempDir, directory: string): Promise<readonly string[]> {
  const entries = await readdir(join(cwd.path, 'data', directory), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** A cold pull that has come to the middle of its body and stays there. */
async function pullHalf(upstream: ScriptedUpstream, mirror: Serving) {
  const digest = upstream.pushBlob('library/alpine', BLOB);
  const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
  const url = `${mirror.url}/v2/library/alpine/blobs/${digest}`;
  const answer = await open(url);
  await gate.waiting;
  const begun = await answer.read(1000);
  const rest = async () => {
    const { body, isCutShort } = await answer.rest();
    return { digest: digestOf(Buffer.concat([begun, body])), isCutShort };
  };
  return { digest, gate, rest };
}

describe('a mirror that is told to stop', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'on %s takes no connection, is not ready, and lets what runs come to its end',
    async (signal) => {
      await using upstream = await ScriptedUpstream.start();
      await using cwd = await tempDir();
      await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env: FOREVER });
      const { digest, gate, rest } = await pullHalf(upstream, mirror);

      mirror.command.kill(signal);
      await mirror.command.until('stopping');
      const ready = await get(`${mirror.adminUrl}/readyz`);
      expect(ready.status).toBe(503);
      expect(ready.body.toString()).toContain('shutting down');
      expect((await get(`${mirror.adminUrl}/healthz`)).status).toBe(200);
      await expect(get(`${mirror.url}/v2/`)).rejects.toThrow('ECONNREFUSED');

      gate.release();
      expect(await rest()).toEqual({ digest, isCutShort: false });
      expect(await mirror.command.exited).toEqual(CLEAN_END);
      expect(mirror.command.log.at(-1)).toMatchObject({ msg: 'stopped' });
      expect(await filesBelow(cwd, 'blobs')).toEqual([digest.slice('sha256:'.length)]);
      expect(await filesBelow(cwd, 'spool')).toEqual([]);
    },
  );

  it('is held up by no connection on which nothing runs: kept alive, or never used', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env: FOREVER });
    using used = await RawConnection.open(mirror.url);
    used.send('GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n');
    await used.until(/\{\}$/);
    // Clients written in Go dial ahead, and may then not need the connection.
    using unused = await RawConnection.open(mirror.url);
    using usedLater = await RawConnection.open(mirror.url);
    usedLater.send('GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n');
    await usedLater.until(/\{\}$/);

    mirror.command.kill('SIGTERM');
    expect(await mirror.command.exited).toEqual(CLEAN_END);
    expect((await unused.toEnd()).toString()).toBe('');
    expect((await used.toEnd()).toString()).toMatch(/\{\}$/);
  });

  it('closes a kept-alive connection behind the answer that ran on it', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env: FOREVER });
    const digest = upstream.pushBlob('library/alpine', BLOB);
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    using connection = await RawConnection.open(mirror.url);
    connection.send(`GET /v2/library/alpine/blobs/${digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await gate.waiting;
    await connection.until(/\r\n\r\n/);

    mirror.command.kill('SIGTERM');
    await mirror.command.until('stopping');
    gate.release();
    const received = await connection.toEnd();
    expect(digestOf(received.subarray(received.indexOf('\r\n\r\n') + 4))).toBe(digest);
    expect(await mirror.command.exited).toEqual(CLEAN_END);
  });

  it('lets a manifest that upstream is still to send come to its client', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env: FOREVER });
    const image = buildImage();
    upstream.push('library/alpine', '3', image);
    const gate = upstream.hold({ kind: 'manifest', method: 'GET' });
    const answer = get(`${mirror.url}/v2/library/alpine/manifests/3`);
    await gate.waiting;

    mirror.command.kill('SIGTERM');
    await mirror.command.until('stopping');
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(503);
    gate.release();
    expect(digestOf((await answer).body)).toBe(image.manifest.digest);
    expect(await mirror.command.exited).toEqual(CLEAN_END);
  });

  it('cuts off after the grace time what still hangs, and goes on with it the next time', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const env = { ENTREPOT_SHUTDOWN_GRACE: '300ms' };
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env });
    const { digest, rest } = await pullHalf(upstream, mirror);
    expect(await filesBelow(cwd, 'spool')).toHaveLength(1);

    mirror.command.kill('SIGTERM');
    expect(await rest()).toMatchObject({ isCutShort: true });
    expect(await mirror.command.exited).toEqual(CLEAN_END);
    expect(await filesBelow(cwd, 'blobs')).toEqual([]);

    const sentBefore = upstream.blobBytesSent;
    await using again = await serve({ cwd: cwd.path, upstreamUrl: upstream.url });
    const pulled = await get(`${again.url}/v2/library/alpine/blobs/${digest}`);
    expect(digestOf(pulled.body)).toBe(digest);
    expect(upstream.blobBytesSent - sentBefore).toBeLessThan(pulled.body.length);
    expect(again.command.stdout).not.toContain('reconciled');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends at once on a second %s', async (signal) => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: upstream.url, env: FOREVER });
    const { rest } = await pullHalf(upstream, mirror);

    mirror.command.kill(signal);
    await mirror.command.until('stopping');
    mirror.command.kill(signal);
    expect(await mirror.command.exited).toEqual({ code: 1, signal: null });
    expect(await rest()).toMatchObject({ isCutShort: true });
  });
});
