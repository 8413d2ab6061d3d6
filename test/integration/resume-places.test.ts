/** Who holds a place at upstream, and for how long: no slow reader, no more than may, and nobody who has left. */
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { get, open, type Response } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';

function expectWhole({ status, body, isCutShort }: Response, digest: Digest): void {
  expect({ status, digest: digestOf(body), isCutShort }).toEqual({ status: 200, digest, isCutShort: false });
}

describe('a slow reader of a cold blob', () => {
  const SIZE = 32 * MIB;
  const given = useMirror({
    env: { ENTREPOT_UPSTREAM_MAX_CONNECTIONS: '1', ENTREPOT_DOWNLOADS_MAX_CONCURRENT: '1' },
  });

  it('holds neither the connection to upstream nor the place of others, and gets all of it in its own time', async () => {
    const { upstream, mirror, v2 } = given;
    const bytes = randomBytes('slow', SIZE);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    const slow = await open(`${v2}/${REPOSITORY}/blobs/${digest}`);
    const begun = await slow.read(1000);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(1);
    expect(upstream.blobBytesSent).toBe(SIZE);
    expect(await mirror.metric('entrepot_downloads_running')).toBe(0);

    // The only connection and the only place are free.
    const other = upstream.pushBlob(REPOSITORY, randomBytes('other', 2 * MIB));
    expectWhole(await get(`${v2}/${REPOSITORY}/blobs/${other}`), other);
    expectWhole(await get(`${v2}/${REPOSITORY}/blobs/${digest}`), digest);
    await upstream.stop();
    const { body, isCutShort } = await slow.rest();
    expect([Buffer.concat([begun, body]).equals(bytes), isCutShort]).toEqual([true, false]);
    expect(upstream.count({ kind: 'cdn' })).toBe(2);
  });
});

describe('ten blobs where two may come in at once', () => {
  const given = useMirror({ env: { ENTREPOT_DOWNLOADS_MAX_CONCURRENT: '2' } });
  const waiting = () => given.mirror.metric('entrepot_downloads_waiting');
  const running = () => given.mirror.metric('entrepot_downloads_running');

  function pushTen() {
    return Array.from({ length: 10 }, (_, index) => {
      const digest = given.upstream.pushBlob(REPOSITORY, randomBytes(`ten ${index}`, 100_000));
      const gate = given.upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: 50_000 });
      return { digest, gate, url: `${given.v2}/${REPOSITORY}/blobs/${digest}` };
    });
  }

  it('come two at a time, and all of them in the end', async () => {
    const { upstream } = given;
    const blobs = pushTen();
    const pulls = blobs.map(({ url }) => get(url));
    await expect.poll(waiting).toBe(8);
    expect(await running()).toBe(2);
    const asked = () => upstream.requests.filter(({ kind }) => kind === 'cdn');
    for (let done = 0; done < blobs.length; done += 1) {
      await expect.poll(() => asked().length).toBe(Math.min(done + 2, blobs.length));
      const next = blobs.find(({ digest }) => digest === asked()[done]?.reference);
      await next?.gate.waiting;
      expect(asked().length).toBeLessThanOrEqual(done + 2);
      next?.gate.release();
    }
    for (const [index, pulled] of (await Promise.all(pulls)).entries()) {
      expectWhole(pulled, blobs[index]!.digest);
    }
    await expect.poll(running).toBe(0);
    expect(await waiting()).toBe(0);
  });

  it('are fewer where a client that waits has left: upstream is never asked for its blob', async () => {
    const { upstream, mirror } = given;
    const blobs = pushTen();
    const first = blobs.slice(0, 2).map(({ url }) => get(url));
    await Promise.all(blobs.slice(0, 2).map(({ gate }) => gate.waiting));
    const leaving = new AbortController();
    const last = blobs.at(-1)!;
    const left = get(last.url, { signal: leaving.signal }).catch((error: unknown) => error);
    const stays = get(blobs[2]!.url);
    await expect.poll(waiting).toBe(2);
    leaving.abort();
    expect(await left).toBeInstanceOf(Error);
    await expect.poll(waiting).toBe(1);
    for (const { gate } of blobs) gate.release();
    for (const [index, pulled] of (await Promise.all([...first, stays])).entries()) {
      expectWhole(pulled, blobs[index]!.digest);
    }
    expect(upstream.requests.filter(({ reference }) => reference === last.digest)).toEqual([]);
    expect(await mirror.metric('entrepot_downloads_total{outcome="abandoned"}')).toBe(1);
  });

  it('do not keep waiting who wants what is cached, or a manifest', async () => {
    const { upstream, v2 } = given;
    const cached = upstream.pushBlob(REPOSITORY, randomBytes('cached', 1000));
    expectWhole(await get(`${v2}/${REPOSITORY}/blobs/${cached}`), cached);
    const blobs = pushTen();
    const pulls = blobs.map(({ url }) => get(url));
    await expect.poll(waiting).toBe(8);
    expectWhole(await get(`${v2}/${REPOSITORY}/blobs/${cached}`), cached);
    expect((await get(`${v2}/${REPOSITORY}/tags/list`)).status).toBe(200);
    for (const { gate } of blobs) gate.release();
    await Promise.all(pulls);
  });
});
