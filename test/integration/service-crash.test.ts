import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { run, serve, type Serving } from '../support/command.ts';
import { get, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir, type TempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';

function pathOf(cwd: TempDir, digest: Digest): string {
  const hex = hexOf(digest);
  return join(cwd.path, 'data', 'blobs', 'v1', 'sha256', hex.slice(0, 2), hex);
}

function spooled(cwd: TempDir): Promise<readonly string[]> {
  return readdir(join(cwd.path, 'data', 'spool'));
}

/** Resolves when so many blobs are in the store and in the index: their clients have them a little earlier. */
async function stored({ command }: Serving, count: number): Promise<void> {
  const blobs = () => command.log.filter(({ outcome }) => outcome === 'stored').length;
  await expect.poll(blobs, { timeout: 20_000 }).toBe(count);
}

describe('a mirror that is killed', () => {
  it('in the middle of a download begins anew: the spool is swept and the blob is pulled again, right', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('crash', 2 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    {
      await using mirror = await serve(options);
      const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      await gate.waiting;
      await answer.read(1000);
      mirror.command.kill('SIGKILL');
      expect(await mirror.command.exited).toEqual({ code: null, signal: 'SIGKILL' });
      expect((await answer.rest()).isCutShort).toBe(true);
    }
    expect(await spooled(cwd)).toHaveLength(1);

    await using mirror = await serve(options);
    expect(await spooled(cwd)).toEqual([]);
    const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect(digestOf(pulled.body)).toBe(digest);
  });

  it('makes its index agree with its files: what is gone is fetched again', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const [gone, whole] = ['gone', 'whole'].map((seed) =>
      upstream.pushBlob(REPOSITORY, randomBytes(seed, MIB)),
    ) as [Digest, Digest];
    {
      await using mirror = await serve(options);
      for (const digest of [gone, whole]) await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      await stored(mirror, 2);
      mirror.command.kill('SIGKILL');
      await mirror.command.exited;
    }
    await rm(pathOf(cwd, gone));
    // A download that had ended, and the process before it could say so in the index.
    const unknown = randomBytes('unknown', 1000);
    await mkdir(dirname(pathOf(cwd, digestOf(unknown))), { recursive: true });
    await writeFile(pathOf(cwd, digestOf(unknown)), unknown);
    upstream.reset();

    await using mirror = await serve(options);
    await mirror.command.until('the index was reconciled');
    const line = mirror.command.log.find(({ msg }) => msg.startsWith('the index was reconciled'));
    expect(line).toMatchObject({ level: 'warn', recorded: 1, forgotten: 1 });
    for (const digest of [gone, whole]) {
      const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect(digestOf(pulled.body)).toBe(digest);
    }
    expect(upstream.count({ kind: 'cdn', reference: gone })).toBe(1);
    expect(upstream.count({ kind: 'cdn', reference: whole })).toBe(0);
  });

  it('never serves what is left of a file that was cut short', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('short', MIB));
    {
      await using mirror = await serve(options);
      await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      await stored(mirror, 1);
      mirror.command.kill('SIGKILL');
      await mirror.command.exited;
    }
    await truncate(pathOf(cwd, digest), 1000);

    await using mirror = await serve(options);
    await mirror.command.until('the index was reconciled');
    const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect(digestOf(pulled.body)).toBe(digest);
  });
});

describe('a mirror whose files somebody removed while it was stopped', () => {
  it('fetches again what is gone or cut short, and never sends a wrong byte', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const [gone, short] = ['gone', 'short'].map((seed) =>
      upstream.pushBlob(REPOSITORY, randomBytes(seed, MIB)),
    ) as [Digest, Digest];
    {
      await using mirror = await serve(options);
      for (const digest of [gone, short]) await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      mirror.command.kill('SIGTERM');
      await mirror.command.exited;
    }
    await rm(pathOf(cwd, gone));
    await truncate(pathOf(cwd, short), 1000);

    await using mirror = await serve(options);
    for (const digest of [gone, short]) {
      const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect({ status: pulled.status, digest: digestOf(pulled.body) }).toEqual({ status: 200, digest });
    }
    expect(mirror.command.log.filter(({ msg }) => msg.includes('missing, cut short'))).toHaveLength(2);
    expect(mirror.command.stdout).not.toContain('reconciled');
  });
});

describe('entrepot rebuild-index', () => {
  it.each([
    ['is gone', (index: string) => rm(index)],
    ['is no database any more', (index: string) => writeFile(index, randomBytes('corrupt', 100_000))],
    ['is as it should be', () => Promise.resolve()],
  ])('makes an index that %s anew: all is served with the upstream unplugged', async (_title, spoil) => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const env = { ENTREPOT_TAG_TTL: '1h' };
    const options = { cwd: cwd.path, upstreamUrl: upstream.url, env };
    const image = buildImage({ layers: 2 });
    upstream.push(REPOSITORY, '3', image);
    const blobs = image.blobs.map(({ digest }) => digest);
    {
      await using mirror = await serve(options);
      await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`);
      for (const digest of blobs) await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      mirror.command.kill('SIGTERM');
      await mirror.command.exited;
    }
    await spoil(join(cwd.path, 'data', 'index.sqlite'));
    await upstream.stop();

    const rebuilt = await run(['rebuild-index'], { cwd: cwd.path });
    expect({ code: rebuilt.code, stderr: rebuilt.stderr }).toEqual({ code: 0, stderr: '' });
    expect(rebuilt.stdout).toContain('the index was rebuilt from the disk');
    const last = JSON.parse(rebuilt.stdout.trimEnd().split('\n').at(-1) ?? '') as unknown;
    expect(last).toMatchObject({ msg: 'the index is made anew', blobs: 3, manifests: 1 });

    await using mirror = await serve(options);
    const manifest = await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`);
    expect(digestOf(manifest.body)).toBe(image.manifest.digest);
    for (const digest of blobs) {
      const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect(digestOf(pulled.body)).toBe(digest);
    }
    expect(mirror.command.stdout).not.toContain('"level":"error"');
  });

  it('is not needed: a mirror without an index, or with a broken one, makes it by itself', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('kept', 1000));
    const index = join(cwd.path, 'data', 'index.sqlite');
    const pull = async () => {
      await using mirror = await serve(options);
      const { status, body } = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect({ status, digest: digestOf(body) }).toEqual({ status: 200, digest });
      mirror.command.kill('SIGTERM');
      await mirror.command.exited;
      return mirror.command.stdout;
    };
    await pull();
    await upstream.stop();
    await rm(index);
    expect(await pull()).toContain('the index was rebuilt from the disk');
    await writeFile(index, 'no database');
    const log = await pull();
    expect(log).toContain('the index was corrupt; it is set aside');
    expect(log).toContain('the index was rebuilt from the disk');
  });

  it('refuses to work on a data directory that is not there, or in use', async () => {
    await using cwd = await tempDir();
    const missing = await run(['rebuild-index'], { cwd: cwd.path });
    expect(missing.code).toBe(1);
    expect(missing.stderr).toBe(`entrepot: there is no data directory ${join(cwd.path, 'data')}\n`);
    expect(await readdir(cwd.path)).toEqual([]);

    await using mirror = await serve({ cwd: cwd.path, upstreamUrl: 'http://127.0.0.1:9' });
    const used = await run(['rebuild-index'], { cwd: cwd.path });
    expect(used.code).toBe(1);
    expect(used.stderr).toBe(
      `entrepot: another process is using the data directory ${join(cwd.path, 'data')}\n`,
    );
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(200);
  });
});
