import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseReference, parseRepositoryName } from '../../../src/oci/reference.ts';
import { rememberingAbsence } from '../../../src/upstream/absence-cache.ts';
import { UpstreamError } from '../../../src/upstream/upstream.ts';
import { upstreamOf } from '../../support/blob-mirror.ts';

const NAME = parseRepositoryName('team/app');
const TAG = parseReference('v1');
const DIGEST = digestOf(Buffer.from('blob'));
const signal = new AbortController().signal;
const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: DIGEST, size: 4 };

/** Counts what upstream is asked; `answer` is what it then says. */
function asked(answer: () => Promise<undefined>, ttlMs = 10_000) {
  const counts = { manifest: 0, blob: 0 };
  const clock = { now: 1_000_000 };
  const count = (kind: keyof typeof counts) => () => {
    counts[kind] += 1;
    return answer();
  };
  const upstream = upstreamOf(new Map(), {
    ...{ resolve: count('manifest'), fetchManifest: count('manifest') },
    ...{ statBlob: count('blob'), fetchBlob: count('blob') },
  });
  return { counts, clock, upstream: rememberingAbsence(upstream, { ttlMs, now: () => clock.now }) };
}

const absent = () => Promise.resolve(undefined);

describe('rememberingAbsence', () => {
  it('asks once for what does not exist, by HEAD and by GET alike, until the time is up', async () => {
    const { upstream, counts, clock } = asked(absent);
    for (let time = 0; time < 3; time += 1) {
      expect(await upstream.resolve(NAME, TAG, signal)).toBeUndefined();
      expect(await upstream.fetchManifest(NAME, TAG, signal)).toBeUndefined();
      expect(await upstream.statBlob(NAME, DIGEST, signal)).toBeUndefined();
      expect(await upstream.fetchBlob(NAME, DIGEST, 0, signal)).toBeUndefined();
    }
    expect(counts).toEqual({ manifest: 1, blob: 1 });
    clock.now += 10_000;
    await upstream.resolve(NAME, TAG, signal);
    expect(counts).toEqual({ manifest: 2, blob: 1 });
  });

  it('keeps apart what has another name', async () => {
    const { upstream, counts } = asked(absent);
    await upstream.resolve(NAME, TAG, signal);
    await upstream.resolve(NAME, parseReference('v2'), signal);
    await upstream.resolve(parseRepositoryName('team/other'), TAG, signal);
    await upstream.resolve(NAME, parseReference(DIGEST), signal);
    expect(counts.manifest).toBe(4);
  });

  it('remembers a denial, which is how Docker Hub says that there is no such repository', async () => {
    const denial = new UpstreamError('denied', '401');
    const { upstream, counts } = asked(() => Promise.reject(denial));
    await expect(upstream.resolve(NAME, TAG, signal)).rejects.toBe(denial);
    await expect(upstream.fetchManifest(NAME, TAG, signal)).rejects.toBe(denial);
    expect(counts.manifest).toBe(1);
  });

  it('remembers no failure', async () => {
    for (const failure of ['unreachable', 'rate-limited', 'protocol', 'misconfigured'] as const) {
      const { upstream, counts } = asked(() => Promise.reject(new UpstreamError(failure, 'no')));
      await expect(upstream.resolve(NAME, TAG, signal)).rejects.toThrow();
      await expect(upstream.resolve(NAME, TAG, signal)).rejects.toThrow();
      expect(counts.manifest).toBe(2);
    }
  });

  it('remembers nothing with a time of 0, and nothing for ever when the clock is set back', async () => {
    const never = asked(absent, 0);
    await never.upstream.resolve(NAME, TAG, signal);
    await never.upstream.resolve(NAME, TAG, signal);
    expect(never.counts.manifest).toBe(2);

    const setBack = asked(absent);
    await setBack.upstream.resolve(NAME, TAG, signal);
    setBack.clock.now -= 1_000_000;
    await setBack.upstream.resolve(NAME, TAG, signal);
    expect(setBack.counts.manifest).toBe(2);
  });

  it('takes no more memory for a flood of names than for some thousand', async () => {
    const { upstream, counts } = asked(absent);
    for (let index = 0; index <= 10_000; index += 1) {
      await upstream.resolve(NAME, parseReference(`v${index}`), signal);
    }
    await upstream.resolve(NAME, parseReference('v0'), signal);
    expect(counts.manifest).toBe(10_002);
  });

  it('gives what is there as it is', async () => {
    const found = upstreamOf(new Map([[DIGEST, Buffer.from('blob')]]), {
      resolve: () => Promise.resolve({ descriptor }),
    });
    const upstream = rememberingAbsence(found, { ttlMs: 1000, now: () => 0 });
    expect(await upstream.resolve(NAME, TAG, signal)).toEqual({ descriptor });
    expect(await upstream.statBlob(NAME, DIGEST, signal)).toEqual({ size: 4 });
  });
});

describe('the rest of a blob', () => {
  it('is asked for whatever is remembered, and its absence is not: its beginning was there a moment ago', async () => {
    const bytes = Buffer.from('blob');
    const there = upstreamOf(new Map([[DIGEST, bytes]]));
    let isGone = true;
    const fetchBlob: typeof there.fetchBlob = async (...args) => {
      const wasGone = isGone;
      isGone = false;
      return wasGone ? undefined : there.fetchBlob(...args);
    };
    const statBlob = () => Promise.resolve(undefined);
    const found = upstreamOf(new Map([[DIGEST, bytes]]), { fetchBlob, statBlob });
    const upstream = rememberingAbsence(found, { ttlMs: 1000, now: () => 0 });
    expect(await upstream.fetchBlob(NAME, DIGEST, 2, signal)).toBeUndefined();
    expect(await upstream.fetchBlob(NAME, DIGEST, 0, signal)).toMatchObject({ size: 4 });

    await upstream.statBlob(NAME, DIGEST, signal);
    expect(await upstream.fetchBlob(NAME, DIGEST, 0, signal)).toBeUndefined();
    expect(await upstream.fetchBlob(NAME, DIGEST, 2, signal)).toMatchObject({ size: 4 });
  });
});
