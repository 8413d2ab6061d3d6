/** A download that ended before it was whole is gone on with, whatever upstream says by then, and makes room for others. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, open, type Response } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import type { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror, type Pair } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const SIZE = 6 * MIB;
const REPOSITORY = 'library/alpine';
/** Longer than any circuit stays open. */
const PAST_OUTAGE_MS = 15_000;

const time = movableClock();

function expectWhole({ status, body, isCutShort }: Response, digest: Digest): void {
  expect({ status, digest: digestOf(body), isCutShort }).toEqual({ status: 200, digest, isCutShort: false });
}

const rangesOf = ({ requests }: ScriptedUpstream) =>
  requests.filter(({ kind }) => kind === 'cdn').map(({ headers }) => headers.range);

const urlOf = ({ v2 }: Pair, digest: Digest) => `${v2}/${REPOSITORY}/blobs/${digest}`;
const partialBytes = (mirror: RunningMirror) => mirror.metric('entrepot_partial_bytes');
const spooled = ({ dataDir }: RunningMirror) => readdir(join(dataDir, 'spool'));

/** Downloads so much of a blob, until upstream is gone for good; then it is back. Resolves to its digest. */
async function breakOff(given: Pair, afterBytes: number, seed = 'partial'): Promise<Digest> {
  const { upstream, mirror } = given;
  const digest = upstream.pushBlob(REPOSITORY, randomBytes(seed, SIZE));
  const gate = upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes });
  const client = await open(urlOf(given, digest));
  await gate.waiting;
  await client.read(afterBytes - 1);
  await upstream.stop();
  expect((await client.rest()).isCutShort).toBe(true);
  await expect.poll(() => partialBytes(mirror)).toBe(afterBytes);
  upstream.clearScript();
  await upstream.restart();
  upstream.reset();
  time.pass(PAST_OUTAGE_MS);
  return digest;
}

describe('a download that upstream has broken off for good', () => {
  const given = useMirror({ now: time.now });

  it('is gone on with by the next pull, at the very byte', async () => {
    const { upstream, mirror } = given;
    const digest = await breakOff(given, 5 * MIB);
    expectWhole(await get(urlOf(given, digest)), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`]);
    expect(upstream.blobBytesSent).toBe(MIB);
    await expect.poll(() => spooled(mirror)).toEqual([]);
    expect([await partialBytes(mirror), await mirror.metric('entrepot_downloads_resumed_total')]).toEqual([
      0, 1,
    ]);
  });

  it('is gone on with for many clients at once, by one request', async () => {
    const { upstream } = given;
    const digest = await breakOff(given, 5 * MIB);
    const pulls = await Promise.all(Array.from({ length: 10 }, () => get(urlOf(given, digest))));
    for (const pulled of pulls) expectWhole(pulled, digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`]);
  });

  it('gives ranges of what it has and of what it has not', async () => {
    const bytes = randomBytes('partial', SIZE);
    const digest = await breakOff(given, 5 * MIB);
    const ranges = [
      [0, 99],
      [4 * MIB, SIZE - 1],
      [SIZE - 10, SIZE - 1],
    ] as const;
    const parts = await Promise.all(
      ranges.map(([first, last]) => get(urlOf(given, digest), { range: `${first}-${last}` })),
    );
    for (const [index, [first, last]] of ranges.entries()) {
      expect([parts[index]?.status, parts[index]?.body.equals(bytes.subarray(first, last + 1))]).toEqual([
        206,
        true,
      ]);
    }
  });

  it('stays what it is while upstream is away, however often it is asked for', async () => {
    const { upstream, mirror } = given;
    const digest = await breakOff(given, 5 * MIB);
    await upstream.stop();
    for (let round = 0; round < 3; round += 1) {
      expectError(await get(urlOf(given, digest)), 503, 'UNAVAILABLE');
    }
    expect(await partialBytes(mirror)).toBe(5 * MIB);
    await upstream.restart();
    time.pass(PAST_OUTAGE_MS);
    expectWhole(await get(urlOf(given, digest)), digest);
    expect(upstream.blobBytesSent).toBe(MIB);
  });

  it('is broken off again further on, and gone on with from there', async () => {
    const { upstream, mirror } = given;
    const digest = await breakOff(given, 2 * MIB);
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: 3 * MIB });
    const client = await open(urlOf(given, digest));
    await gate.waiting;
    await client.read(5 * MIB - 1);
    await upstream.stop();
    expect((await client.rest()).isCutShort).toBe(true);
    await expect.poll(() => partialBytes(mirror)).toBe(5 * MIB);
    upstream.clearScript();
    await upstream.restart();
    time.pass(PAST_OUTAGE_MS);
    expectWhole(await get(urlOf(given, digest)), digest);
    expect(rangesOf(upstream).at(-1)).toBe(`bytes=${5 * MIB}-`);
    expect(upstream.blobBytesSent).toBe(SIZE - 2 * MIB);
  });

  it('is too short to keep below a mebibyte', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('short', SIZE));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB - 1 });
    const client = await open(urlOf(given, digest));
    await gate.waiting;
    await client.read(MIB - 2);
    await upstream.stop();
    expect((await client.rest()).isCutShort).toBe(true);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="failed"}')).toBe(1);
    expect([await partialBytes(mirror), await spooled(mirror)]).toEqual([0, []]);
  });
});

describe('an upstream that is asked for the rest', () => {
  const given = useMirror({ now: time.now });

  it('and ignores Range sends all of it: what is there is skipped', async () => {
    const { upstream } = given;
    const digest = await breakOff(given, 5 * MIB);
    upstream.fault({ kind: 'cdn' }, { ignoresRange: true });
    expectWhole(await get(urlOf(given, digest)), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`]);
  });

  it.each([
    ['416', { status: 416, headers: { 'content-range': `bytes */${SIZE}` } }],
    ['other bytes than those asked for', { status: 206, headers: { 'content-range': 'bytes 0-9/10' } }],
    ['206 without saying of which bytes', { status: 206 }],
  ])('and answers %s is asked for the whole', async (_, reply) => {
    const { upstream } = given;
    const digest = await breakOff(given, 5 * MIB);
    upstream.reply({ kind: 'cdn' }, reply);
    expectWhole(await get(urlOf(given, digest)), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`, undefined]);
  });

  it.each([
    ['longer', (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.from('more')])],
    ['shorter', (bytes: Uint8Array) => bytes.subarray(0, SIZE - 1000)],
  ])('and says that it is %s is not believed, and the next pull is right', async (_, body) => {
    const { upstream } = given;
    const digest = await breakOff(given, 5 * MIB);
    upstream.fault({}, { body }, 100);
    const pulled = await get(urlOf(given, digest));
    const isGood = pulled.status === 200 && !pulled.isCutShort;
    expect(isGood).toBe(false);
    upstream.clearScript();
    time.pass(PAST_OUTAGE_MS);
    expectWhole(await get(urlOf(given, digest)), digest);
  });

  it('and sends wrong bytes for it costs the client its connection, and the next pull is right', async () => {
    const { upstream, mirror } = given;
    const digest = await breakOff(given, 5 * MIB);
    upstream.fault({ kind: 'cdn' }, { body: (bytes) => Uint8Array.from(bytes).fill(0, SIZE - 10) });
    expect((await get(urlOf(given, digest))).isCutShort).toBe(true);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="mismatch"}')).toBe(1);
    expect(await spooled(mirror)).toEqual([]);
    expectWhole(await get(urlOf(given, digest)), digest);
  });

  it('and no longer has it says so', async () => {
    const { upstream } = given;
    const digest = await breakOff(given, 5 * MIB);
    upstream.deleteBlob(REPOSITORY, digest);
    expectError(await get(urlOf(given, digest)), 404, 'BLOB_UNKNOWN');
  });
});

describe('half-downloaded blobs', () => {
  const given = useMirror({ now: time.now, env: { ENTREPOT_CACHE_MAX_SIZE: '14MiB' } });

  it('count towards the bound, and go before anything that is whole', async () => {
    const { upstream, mirror } = given;
    const whole = upstream.pushBlob(REPOSITORY, randomBytes('whole', 4 * MIB));
    expectWhole(await get(urlOf(given, whole)), whole);
    const partial = await breakOff(given, 5 * MIB);
    expect(await mirror.metric('entrepot_cache_bytes')).toBe(9 * MIB);

    const next = upstream.pushBlob(REPOSITORY, randomBytes('next', 6 * MIB));
    expectWhole(await get(urlOf(given, next)), next);
    expect(await partialBytes(mirror)).toBe(0);
    upstream.reset();
    expectWhole(await get(urlOf(given, whole)), whole);
    expect(upstream.requests).toEqual([]);
    expect(await mirror.metric('entrepot_evicted_blobs_total')).toBe(0);

    expectWhole(await get(urlOf(given, partial)), partial);
    expect(rangesOf(upstream)).toEqual([undefined]);
  });
});

describe('a mirror that is restarted', () => {
  const KEEP = { ENTREPOT_DOWNLOADS_KEEP_PARTIAL: '1h' };
  const given = useMirror({ now: time.now, env: KEEP });

  it.each([
    ['keeps', 'within', 3500_000, `bytes=${5 * MIB}-`],
    ['drops', 'after', 3700_000, undefined],
  ])('%s what is half downloaded %s its time', async (_, _when, passed, range) => {
    const { upstream, mirror } = given;
    const digest = await breakOff(given, 5 * MIB);
    await mirror.app.close();
    // Of a file that an earlier process has left, the disk tells the age.
    const now = Date.now() + passed;
    const options = { upstreamUrl: upstream.url, dataDir: mirror.dataDir, env: KEEP };
    await using second = await startMirror({ ...options, now: () => now });
    if (range === undefined) await expect.poll(() => spooled(second)).toEqual([]);
    expectWhole(await get(`${second.url}/v2/${REPOSITORY}/blobs/${digest}`), digest);
    expect(rangesOf(upstream)).toEqual([range]);
  });

  it('in the middle of a download keeps what has come', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('stopped', SIZE));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: 5 * MIB });
    await using short = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_SHUTDOWN_GRACE: '10ms' },
    });
    const client = await open(`${short.url}/v2/${REPOSITORY}/blobs/${digest}`);
    await gate.waiting;
    await client.read(5 * MIB - 1);
    await short.app.close();
    expect((await client.rest()).isCutShort).toBe(true);
    upstream.clearScript();
    upstream.reset();
    await mirror.close();
    await using second = await startMirror({ upstreamUrl: upstream.url, dataDir: short.dataDir });
    expectWhole(await get(`${second.url}/v2/${REPOSITORY}/blobs/${digest}`), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`]);
    await second.close();
  });
});

describe('a download whose only client leaves', () => {
  const finishing = useMirror();
  const stopping = useMirror({ env: { ENTREPOT_DOWNLOADS_WHEN_ABANDONED: 'stop' } });

  async function leaveAfter(given: Pair, bytes: number) {
    const digest = given.upstream.pushBlob(REPOSITORY, randomBytes('left', SIZE));
    const gate = given.upstream.hold({ kind: 'cdn' }, { afterBytes: bytes });
    const client = await open(urlOf(given, digest));
    await gate.waiting;
    await client.read(bytes - 1);
    client.destroy();
    return { digest, gate };
  }

  it('at 99 % is finished: the next one gets it from here', async () => {
    const { upstream, mirror } = finishing;
    const { digest, gate } = await leaveAfter(finishing, Math.floor(SIZE * 0.99));
    await expect.poll(() => mirror.log.filter((line) => line['aborted'] === true)).toHaveLength(1);
    gate.release();
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(1);
    expect(upstream.blobBytesSent).toBe(SIZE);
    await upstream.stop();
    expectWhole(await get(urlOf(finishing, digest)), digest);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('is stopped where that is configured, lets go of upstream, and goes on for the next one', async () => {
    const { upstream, mirror } = stopping;
    const { digest } = await leaveAfter(stopping, 5 * MIB);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="abandoned"}')).toBe(1);
    await expect.poll(() => upstream.connections('cdn')).toBe(0);
    expect(await partialBytes(mirror)).toBe(5 * MIB);
    upstream.clearScript();
    upstream.reset();
    expectWhole(await get(urlOf(stopping, digest)), digest);
    expect(rangesOf(upstream)).toEqual([`bytes=${5 * MIB}-`]);
  });
});
