/** What is in memory is given only while it holds: each thing that ends it, seen from outside. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { watchHot } from '../support/hot.ts';
import { get, head, type Response } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { startSeveral } from '../support/several-upstreams.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const MIB = 1024 * 1024;
const TTL_MS = 60_000;
const old = buildImage({ seed: 'old' });
const latest = buildImage({ seed: 'latest' });

let hot: ReturnType<typeof watchHot>;
beforeEach(() => void (hot = watchHot()));
afterEach(() => hot[Symbol.dispose]());

/** Asks until it is answered from memory. */
async function warm(url: string, ask: (url: string) => Promise<Response> = get): Promise<Response> {
  let last: Response | undefined;
  // A blob is not before its download has ended.
  const answered = async () => {
    const { isHot, result } = await hot.by(() => ask(url));
    last = result;
    return isHot;
  };
  await expect.poll(answered, { timeout: 10_000 }).toBe(true);
  return last!;
}

const digestIn = ({ headers }: Response) => headers['docker-content-digest'];

describe('a tag in memory', () => {
  const time = movableClock();
  const given = useMirror({ now: time.now, env: { ENTREPOT_TAG_TTL: `${TTL_MS / 1000}s` } });
  const tagUrl = () => `${given.v2}/${REPOSITORY}/manifests/latest`;
  beforeEach(async () => {
    given.upstream.push(REPOSITORY, 'latest', old);
    for (const ask of [get, head]) expect(digestIn(await warm(tagUrl(), ask))).toBe(old.manifest.digest);
    given.upstream.reset();
  });

  it('costs upstream nothing within its TTL, and is what it was', async () => {
    given.upstream.push(REPOSITORY, 'latest', latest);
    time.pass(TTL_MS - 1000);
    for (const ask of [get, head]) {
      const { isHot, result } = await hot.by(() => ask(tagUrl()));
      expect([isHot, digestIn(result)]).toEqual([true, old.manifest.digest]);
    }
    expect(given.upstream.requests).toEqual([]);
  });

  it.each([
    ['GET', get],
    ['HEAD', head],
  ])('is asked about again when its TTL has passed, by %s', async (_method, ask) => {
    given.upstream.push(REPOSITORY, 'latest', latest);
    time.pass(TTL_MS);
    expect(digestIn(await ask(tagUrl()))).toBe(latest.manifest.digest);
    for (const again of [get, head])
      expect(digestIn(await warm(tagUrl(), again))).toBe(latest.manifest.digest);
  });

  it('is settled for GET and HEAD by one look at upstream', async () => {
    time.pass(TTL_MS);
    for (const ask of [get, head]) await warm(tagUrl(), ask);
    expect(given.upstream.count({ kind: 'manifest' })).toBe(1);
  });

  it('is asked about again when the clock was set back', async () => {
    time.pass(-TTL_MS);
    expect((await hot.by(() => get(tagUrl()))).isHot).toBe(false);
    expect(given.upstream.count({ kind: 'manifest', method: 'HEAD' })).toBe(1);
    time.pass(TTL_MS);
  });

  it('is gone with the tag upstream', async () => {
    given.upstream.deleteTag(REPOSITORY, 'latest');
    time.pass(TTL_MS);
    for (const ask of [get, head, get, head]) expect((await ask(tagUrl())).status).toBe(404);
    time.pass(-1000);
    for (const ask of [get, head]) expect((await ask(tagUrl())).status).toBe(404);
  });

  it('is gone when upstream denies access', async () => {
    given.upstream.makePrivate(REPOSITORY);
    time.pass(TTL_MS);
    expect((await get(tagUrl())).status).toBe(403);
    time.pass(-1000);
    for (const ask of [get, head]) expect((await ask(tagUrl())).status).toBe(403);
  });

  it('is said to be stale for as long as upstream can not be asked, and good again then', async () => {
    time.pass(TTL_MS);
    await given.upstream.stop();
    for (let times = 0; times < 3; times += 1) {
      const { isHot, result } = await hot.by(() => get(tagUrl()));
      expect([isHot, digestIn(result)]).toEqual([false, old.manifest.digest]);
    }
    await given.upstream.restart();
    // The host is left alone for a while.
    time.pass(TTL_MS);
    await warm(tagUrl());
    const sources = given.mirror.log.filter(({ route }) => route === 'manifest').map(({ source }) => source);
    expect(sources.slice(-6)).toContain('stale');
    expect(sources.at(-1)).toBe('hit');
  });
});

describe('an eviction', () => {
  it('takes what is in memory, too: the manifest by tag and by digest, and the blobs', async () => {
    await using upstream = await ScriptedUpstream.start();
    const time = movableClock();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      now: time.now,
      env: { ENTREPOT_CACHE_MAX_SIZE: '10MiB', ENTREPOT_TAG_TTL: '1h' },
    });
    upstream.push(REPOSITORY, 'latest', old);
    const urls = [
      `manifests/latest`,
      `manifests/${old.manifest.digest}`,
      ...[old.config, ...old.layers].map(({ digest }) => `blobs/${digest}`),
    ].map((path) => `${mirror.url}/v2/${REPOSITORY}/${path}`);
    for (const url of urls) for (const ask of [get, head]) await warm(url, ask);
    for (let seed = 0; seed < 10; seed += 1) {
      time.pass(61_000);
      const digest = upstream.pushBlob(REPOSITORY, randomBytes(seed, 2 * MIB));
      await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    }
    await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
    expect(await mirror.metric('entrepot_cache_manifests')).toBe(0);
    for (const url of urls) {
      const { isHot, result } = await hot.by(() => head(url));
      expect([isHot, result.status]).toEqual([false, 200]);
    }
  });
});

describe('a blob in memory', () => {
  // The jobs come round by intervals, and nothing else here does.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  it('is given no longer once the scrub has found its file to be corrupt', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_SCRUB_RATE: '1GiB' },
    });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(1, 1000));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    for (const ask of [get, head]) await warm(url, ask);
    const hex = hexOf(digest);
    const path = join(mirror.dataDir, 'blobs', 'v1', 'sha256', hex.slice(0, 2), hex);
    const bytes = await readFile(path);
    bytes[0] = bytes[0]! ^ 1;
    await writeFile(path, bytes);
    vi.advanceTimersByTime(60_000);
    await expect.poll(() => mirror.log.map(({ msg }) => msg)).toContain('every stored blob was read again');
    upstream.reset();

    expect((await hot.by(() => head(url))).isHot).toBe(false);
    const { isHot, result } = await hot.by(() => get(url));
    expect([isHot, digestOf(result.body)]).toEqual([false, digest]);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });
});

describe('two upstreams that have a repository of the same name', () => {
  it('give each its own from memory, by whatever names the upstream', async () => {
    await using several = await startSeveral({ first: 'first.test', second: 'second.test' });
    const { mirror, upstreams } = several;
    const digests: Record<string, Digest> = {
      first: old.manifest.digest,
      second: latest.manifest.digest,
    };
    upstreams.first.push('team/tool', 'latest', old);
    upstreams.second.push('team/tool', 'latest', latest);
    const tag = 'team/tool/manifests/latest';
    const urls = [
      ['first', `/v2/${tag}`],
      ['first', `/v2/${tag}?ns=first.test`],
      ['second', `/v2/${tag}?ns=second.test`],
      ['first', `/first.test/v2/${tag}`],
      ['second', `/second.test/v2/${tag}`],
      ['second', `/v2/second.test/${tag}`],
    ] as const;
    for (const [, path] of urls) await warm(`${mirror.url}${path}`);
    for (const [name, path] of urls) {
      const { isHot, result } = await hot.by(() => get(`${mirror.url}${path}`));
      expect([path, isHot, digestOf(result.body)]).toEqual([path, true, digests[name]]);
    }
  });
});
