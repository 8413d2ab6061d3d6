/** What a failing disk does to what is stored: blobs that decay, and an index that does. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { serve } from '../support/command.ts';
import { get } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;
const REPOSITORY = 'library/alpine';

/** One byte of it is another from now on. */
async function decay(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[at] = bytes[at]! ^ 1;
  await writeFile(path, bytes);
}

describe('a stored blob that decays', () => {
  // The jobs come round by intervals, and nothing else here does.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  const pathOf = ({ dataDir }: RunningMirror, digest: Digest) =>
    join(dataDir, 'blobs', 'v1', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest));

  it('is found without anybody asking for it, and is fetched again when somebody does', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_SCRUB_RATE: '1GiB' },
    });
    const pull = async (digest: Digest) => {
      const { status, body } = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect({ status, digest: digestOf(body) }).toEqual({ status: 200, digest });
    };
    const [sound, small, large] = [MIB, 1000, 2 * MIB].map((size) =>
      upstream.pushBlob(REPOSITORY, randomBytes(size, size)),
    ) as [Digest, Digest, Digest];
    for (const digest of [sound, small, large]) await pull(digest);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(3);
    // The small one is in memory too, where it is right.
    for (const [digest, at] of [[small, 0] as const, [large, MIB] as const]) {
      await decay(pathOf(mirror, digest), at);
    }
    upstream.reset();

    vi.advanceTimersByTime(60_000);
    await expect.poll(() => mirror.log.map(({ msg }) => msg)).toContain('every stored blob was read again');
    const found = mirror.log.filter(({ msg }) => msg.includes('is corrupt'));
    expect(found.map(({ digest }) => digest).sort()).toEqual([small, large].sort());
    expect(await mirror.metric('entrepot_corrupt_blobs_total')).toBe(2);
    expect(await mirror.metric('entrepot_cache_blobs')).toBe(1);

    for (const digest of [sound, small, large]) await pull(digest);
    const fetched = [sound, small, large].map((reference) => upstream.count({ kind: 'cdn', reference }));
    expect(fetched).toEqual([0, 1, 1]);
  });

  it('does not keep the mirror from stopping, however slowly the others are read', async () => {
    await using upstream = await ScriptedUpstream.start();
    const mirror = await startMirror({
      upstreamUrl: upstream.url,
      // Reading it would take a quarter of an hour, and opening it 16 seconds.
      env: { ENTREPOT_SCRUB_RATE: '4KiB' },
    });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(1, 4 * MIB));
    await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(1);
    vi.advanceTimersByTime(60_000);
    await mirror.close();
    expect(mirror.log.filter(({ msg }) => msg.includes('a job failed'))).toEqual([]);
  });
});

describe('an index that decays', () => {
  /** Makes it so that the next start finds it as `spoil` leaves it. */
  async function spoiled(spoil: (path: string) => Promise<void> | void) {
    const upstream = await ScriptedUpstream.start();
    const cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url, env: { ENTREPOT_TAG_TTL: '1h' } };
    const image = buildImage({ layers: 2 });
    upstream.push(REPOSITORY, '3', image);
    const urls = (url: string) => [
      `${url}/v2/${REPOSITORY}/manifests/3`,
      ...image.blobs.map(({ digest }) => `${url}/v2/${REPOSITORY}/blobs/${digest}`),
    ];
    const pull = async (url: string) => {
      const answers = await Promise.all(urls(url).map((one) => get(one)));
      expect(answers.map(({ body }) => digestOf(body))).toEqual([
        image.manifest.digest,
        ...image.blobs.map(({ digest }) => digest),
      ]);
    };
    {
      await using mirror = await serve(options);
      await pull(mirror.url);
      mirror.command.kill('SIGTERM');
      await mirror.command.exited;
    }
    await spoil(join(cwd.path, 'data', 'index.sqlite'));
    const dispose = async () => {
      await upstream.close();
      await cwd[Symbol.asyncDispose]();
    };
    return { upstream, options, pull, [Symbol.asyncDispose]: dispose };
  }

  /** Ended by itself, it is made anew by the next start and serves all that it had, without the upstream. */
  async function expectHealed({ upstream, options, pull }: Awaited<ReturnType<typeof spoiled>>) {
    await upstream.stop();
    await using mirror = await serve(options);
    expect(mirror.command.stdout).toContain('the index was corrupt; it is set aside');
    expect(mirror.command.stdout).toContain('the index was rebuilt from the disk');
    await pull(mirror.url);
    mirror.command.kill('SIGTERM');
    expect(await mirror.command.exited).toEqual({ code: 0, signal: null });
  }

  it('serves nothing wrong, and is made anew once somebody has asked for what it has lost', async () => {
    await using world = await spoiled((path) => {
      const db = new Database(path);
      const changed = "CAST(replace(CAST(bytes AS TEXT), 'layers', 'lawyer') AS BLOB)";
      expect(db.prepare(`UPDATE manifest_bytes SET bytes = ${changed}`).run().changes).toBe(1);
      db.close();
    });
    {
      await using mirror = await serve(world.options);
      // Whether it is answered by the process that is about to end, or broken off: never with those bytes.
      const answer = await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`).catch(() => undefined);
      if (answer?.status === 200) expect(answer.body.toString()).not.toContain('lawyer');
      expect(await mirror.command.exited).toEqual({ code: 1, signal: null });
      expect(mirror.command.stdout).toContain('the index is corrupt');
    }
    await expectHealed(world);
  });

  it('is found by the look after a crash, while the mirror serves, and is made anew', async () => {
    await using world = await spoiled(async (path) => {
      const db = new Database(path);
      const page = db
        .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'repository_blobs_by_digest'")
        .pluck()
        .get() as number;
      db.exec('UPDATE state SET closed = 0');
      db.close();
      const bytes = await readFile(path);
      await writeFile(path, bytes.fill(0xa5, (page - 1) * PAGE, page * PAGE));
    });
    {
      await using mirror = await serve(world.options);
      expect(await mirror.command.exited).toEqual({ code: 1, signal: null });
      expect(mirror.command.stdout).toContain('the index is corrupt');
    }
    await expectHealed(world);
  });
});
