/** A process is killed in the middle of a download: the next one goes on from the last checkpoint, and sends no wrong byte. */
import { open as openFile, readdir, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { serve, type ServeOptions } from '../support/command.ts';
import { get, open, type Response } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
/** A checkpoint is written when the first chunk reaches this. */
const CHECKPOINT_BYTES = 4 * MIB;
const PATIENCE = { timeout: 20_000 };

interface Crash {
  readonly upstream: ScriptedUpstream;
  readonly options: ServeOptions;
  readonly digest: Digest;
  /** What the killed process has left. */
  readonly path: string;
  /** Bytes that the last checkpoint vouches for. */
  readonly provenLength: number;
  restartAndPull(): Promise<Response>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function spooled(directory: string): Promise<{ path: string; provenLength: number } | undefined> {
  const names = await readdir(directory);
  const name = names.find((candidate) => candidate.endsWith('.checkpoints'));
  if (name === undefined) return undefined;
  const lines = (await readFile(join(directory, name), 'utf8')).split('\n').slice(1, -1);
  const provenLength = Number(lines.at(-1)?.split(' ')[0] ?? 0);
  return provenLength > 0
    ? { path: join(directory, name.replace('.checkpoints', '')), provenLength }
    : undefined;
}

/** Kills the process by SIGKILL once that much of the blob is on its disk, and one client has most of it. */
async function crash(size: number, afterBytes: number, seed = 'crash'): Promise<Crash> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await ScriptedUpstream.start());
  const cwd = stack.use(await tempDir());
  const options = { cwd: cwd.path, upstreamUrl: upstream.url };
  const digest = upstream.pushBlob(REPOSITORY, randomBytes(seed, size));
  const gate = upstream.hold({ kind: 'cdn' }, { afterBytes });
  const spool = join(cwd.path, 'data', 'spool');
  const mirror = await serve(options);
  const client = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
  await gate.waiting;
  // The last byte of what is there stays back.
  await client.read(afterBytes - 1);
  await expect.poll(() => spooled(spool), PATIENCE).toBeDefined();
  mirror.command.kill('SIGKILL');
  expect(await mirror.command.exited).toEqual({ code: null, signal: 'SIGKILL' });
  expect((await client.rest()).isCutShort).toBe(true);
  const left = (await spooled(spool))!;
  expect((await stat(left.path)).size).toBe(afterBytes);
  upstream.clearScript();
  upstream.reset();
  const kept = stack.move();
  return {
    ...{ upstream, options, digest, ...left },
    restartAndPull: async () => {
      const again = kept.use(await serve(options));
      return get(`${again.url}/v2/${REPOSITORY}/blobs/${digest}`);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function expectWhole({ status, body, isCutShort }: Response, digest: Digest): void {
  expect({ status, digest: digestOf(body), isCutShort }).toEqual({ status: 200, digest, isCutShort: false });
}

const rangesOf = ({ requests }: ScriptedUpstream) =>
  requests.filter(({ kind }) => kind === 'cdn').map(({ headers }) => headers.range);

describe('a mirror that is killed in the middle of a blob', () => {
  it.each([
    ['at 60 % of 12 MiB', 12 * MIB, Math.floor(12 * MIB * 0.6)],
    ['at 5 of 6 MiB', 6 * MIB, 5 * MIB],
    ['at 11 of 12 MiB', 12 * MIB, 11 * MIB],
  ])('goes on from its last checkpoint: %s', async (_, size, afterBytes) => {
    await using left = await crash(size, afterBytes);
    const { upstream, digest, provenLength } = left;
    const checkpoints = Math.floor(afterBytes / CHECKPOINT_BYTES);
    expect(provenLength).toBeGreaterThanOrEqual(checkpoints * CHECKPOINT_BYTES);
    expectWhole(await left.restartAndPull(), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${provenLength}-`]);
    expect(upstream.blobBytesSent).toBe(size - provenLength);
  });

  it('begins anew where it was killed before the first checkpoint', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using cwd = await tempDir();
    const options = { cwd: cwd.path, upstreamUrl: upstream.url };
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('early', 6 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: 3 * MIB });
    {
      await using mirror = await serve(options);
      const client = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      await gate.waiting;
      await client.read(3 * MIB - 1);
      mirror.command.kill('SIGKILL');
      await mirror.command.exited;
    }
    upstream.clearScript();
    upstream.reset();
    await using mirror = await serve(options);
    expect(await readdir(join(cwd.path, 'data', 'spool'))).toEqual([]);
    expectWhole(await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`), digest);
    expect(rangesOf(upstream)).toEqual([undefined]);
  });

  it('counts what it goes on with, and says so', async () => {
    await using left = await crash(6 * MIB, 5 * MIB);
    const { digest, options, provenLength } = left;
    await using mirror = await serve(options);
    const metrics = async () => (await get(`${mirror.adminUrl}/metrics`)).body.toString();
    expect(await metrics()).toMatch(new RegExp(`^entrepot_partial_bytes ${5 * MIB}$`, 'm'));
    expectWhole(await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`), digest);
    const text = await metrics();
    expect(text).toMatch(/^entrepot_downloads_resumed_total 1$/m);
    expect(text).toMatch(/^entrepot_partial_bytes 0$/m);
    const line = mirror.command.log.find(({ msg }) => msg.startsWith('a download goes on'));
    expect(line).toMatchObject({ level: 'info', digest, offset: provenLength });
  });
});

describe('what a killed process has left of a blob', () => {
  async function flip(path: string, offset: number): Promise<void> {
    await using file = await openFile(path, 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    await file.write(Buffer.of(byte[0]! ^ 0xff), 0, 1, offset);
  }

  it.each([
    ['the first byte', () => 0],
    ['a byte in the middle', () => 2 * MIB],
    ['the last byte that is vouched for', (provenLength: number) => provenLength - 1],
  ])('is not trusted where %s has changed on disk: all of it is fetched again', async (_, place) => {
    await using left = await crash(6 * MIB, 5 * MIB);
    const { upstream, digest, path, provenLength } = left;
    await flip(path, place(provenLength));
    expectWhole(await left.restartAndPull(), digest);
    expect(rangesOf(upstream).at(-1)).toBeUndefined();
    upstream.reset();
  });

  it('is good up to the checkpoint before the byte that has changed', async () => {
    await using left = await crash(12 * MIB, 11 * MIB);
    const { upstream, digest, path, provenLength } = left;
    await flip(path, provenLength - 1);
    expectWhole(await left.restartAndPull(), digest);
    const resumed = Number(/^bytes=(\d+)-$/.exec(rangesOf(upstream).at(-1) ?? '')?.[1]);
    expect(resumed).toBeGreaterThanOrEqual(CHECKPOINT_BYTES);
    expect(resumed).toBeLessThan(2 * CHECKPOINT_BYTES);
  });

  it('is good where only what nobody vouches for has changed', async () => {
    await using left = await crash(6 * MIB, 5 * MIB);
    const { upstream, digest, path, provenLength } = left;
    await flip(path, 5 * MIB - 1);
    expectWhole(await left.restartAndPull(), digest);
    expect(upstream.blobBytesSent).toBe(6 * MIB - provenLength);
  });

  it('is not trusted where the file is shorter than its checkpoints say, as after a power cut', async () => {
    await using left = await crash(6 * MIB, 5 * MIB);
    const { upstream, digest, path } = left;
    await truncate(path, 3 * MIB);
    expectWhole(await left.restartAndPull(), digest);
    expect(rangesOf(upstream)).toEqual([undefined]);
  });
});
