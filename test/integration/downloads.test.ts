/** Many clients, one download; nothing unverified is ever kept or ends well. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const time = movableClock();
const given = useMirror({ now: time.now });

async function storedBlobs(mirror: RunningMirror): Promise<readonly string[]> {
  const entries = await readdir(join(mirror.dataDir, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

const hexOf = (digest: string) => digest.slice(digest.indexOf(':') + 1);

describe('a cold blob', () => {
  it('costs one GET upstream, and none the second time', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(1, 3 * MIB + 17));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;

    expect(digestOf((await get(url)).body)).toBe(digest);
    expect(upstream.count({ kind: 'blob', method: 'GET', status: 307 })).toBe(1);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    expect(upstream.count({ kind: 'blob', method: 'HEAD' })).toBe(0);
    upstream.reset();

    expect(digestOf((await get(url)).body)).toBe(digest);
    expect(upstream.requests).toEqual([]);
  });

  it('is fetched once for 100 clients that ask at once', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(2, 2 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });

    const clients = Array.from({ length: 100 }, () => open(url));
    const opened = await Promise.all(clients);
    await gate.waiting;
    gate.release();
    const bodies = await Promise.all(opened.map((client) => client.rest()));

    expect(new Set(bodies.map(({ body }) => digestOf(body)))).toEqual(new Set([digest]));
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    expect(upstream.count({ kind: 'blob', method: 'GET', status: 307 })).toBe(1);
    expect(upstream.blobBytesSent).toBe(2 * MIB);
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(1);
  });

  it('reaches a client that joins in the middle from its first byte on, before it is complete', async () => {
    const { upstream, mirror } = given;
    const bytes = randomBytes(3, 2 * MIB);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });

    const first = await open(url);
    await gate.waiting;
    const second = await open(url);
    const begun = await second.read(MIB / 2);
    expect(begun.equals(bytes.subarray(0, MIB / 2))).toBe(true);

    gate.release();
    expect((await second.rest()).body.equals(bytes.subarray(MIB / 2))).toBe(true);
    expect((await first.rest()).body.equals(bytes)).toBe(true);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('goes on when the client that began it leaves, for those who stay and for later', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(4, 2 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });

    const leaver = await open(url);
    await gate.waiting;
    const stayer = await open(url);
    leaver.destroy();
    gate.release();
    expect(digestOf((await stayer.rest()).body)).toBe(digest);
    expect(digestOf((await get(url)).body)).toBe(digest);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('comes in whole while a client reads nothing of it, and others get theirs', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(5, 24 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;

    const sluggish = await open(url);
    expect(digestOf((await get(url)).body)).toBe(digest);
    expect(await storedBlobs(mirror)).toEqual([hexOf(digest)]);
    const { body, isCutShort } = await sluggish.rest();
    expect([digestOf(body), isCutShort]).toEqual([digest, false]);
  });

  it('is asked for by HEAD without a download', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(6, MIB));

    const answer = await head(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect([answer.status, answer.headers['content-length']]).toEqual([200, String(MIB)]);
    expect(upstream.count({ kind: 'blob', method: 'HEAD', status: 200 })).toBe(1);
    expect(upstream.count({ kind: 'blob', method: 'GET' }) + upstream.count({ kind: 'cdn' })).toBe(0);
  });
});

describe('a body that is not what its digest says', () => {
  for (const [what, offset] of [
    ['first', 0],
    ['last', 2 * MIB - 1],
  ] as const) {
    it(`never ends well and is never kept, whichever byte is wrong (the ${what})`, async () => {
      const { upstream, mirror } = given;
      const digest = upstream.pushBlob(REPOSITORY, randomBytes(7, 2 * MIB));
      const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
      const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
      upstream.fault({ kind: 'cdn' }, { body: flipByte(offset) });

      const clients = await Promise.all(Array.from({ length: 5 }, () => open(url)));
      const ranged = await open(url, { range: '0-99' });
      gate.release();
      for (const client of [...clients, ranged]) {
        expect((await client.rest()).isCutShort).toBe(true);
      }
      expect(await storedBlobs(mirror)).toEqual([]);
      await expect.poll(() => readdir(join(mirror.dataDir, 'spool'))).toEqual([]);
      await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="mismatch"}')).toBe(1);

      // Upstream has healed.
      expect(digestOf((await get(url)).body)).toBe(digest);
    });
  }

  it('is noticed where it is too long', async () => {
    await using upstream = await ScriptedUpstream.start({ cdn: false });
    await using mirror = await startMirror({ upstreamUrl: upstream.url });
    const bytes = randomBytes(8, MIB);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    upstream.fault(
      { kind: 'blob', method: 'GET' },
      {
        body: (right) => Buffer.concat([right, Buffer.from('more')]),
        headers: { 'content-length': String(MIB + 4) },
      },
    );
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`)).isCutShort).toBe(true);
    expect(await storedBlobs(mirror)).toEqual([]);
  });
});

describe('a connection that breaks in the middle of a blob', () => {
  for (const by of ['fin', 'rst'] as const) {
    it(`is taken up where it broke, by ${by.toUpperCase()}, and the client never notices`, async () => {
      const { upstream, mirror } = given;
      const digest = upstream.pushBlob(REPOSITORY, randomBytes(9, 3 * MIB));
      upstream.fault({ kind: 'cdn' }, { cut: { by, afterBytes: 2 * MIB } });

      const { body, isCutShort } = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
      expect([digestOf(body), isCutShort]).toEqual([digest, false]);
      expect(upstream.count({ kind: 'cdn' })).toBe(2);
      const resumed = upstream.requests.filter(({ kind }) => kind === 'cdn')[1];
      if (by === 'fin') expect(resumed?.headers.range).toBe(`bytes=${2 * MIB}-`);
    });
  }

  it('starts over where upstream does not do ranges, and sends nothing twice', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(10, 3 * MIB));
    upstream.fault({ kind: 'cdn' }, { cut: { by: 'fin', afterBytes: MIB } });
    upstream.fault({ kind: 'cdn' }, { ignoresRange: true });
    const { body } = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect(digestOf(body)).toBe(digest);
  });

  it('breaks the client off when upstream does not come back, and the next pull works', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(11, 2 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const client = await open(url);
    await gate.waiting;
    await upstream.stop();
    expect((await client.rest()).isCutShort).toBe(true);
    await upstream.restart();
    time.pass(60_000);
    expect(digestOf((await get(url)).body)).toBe(digest);
  });
});

describe('one blob in several repositories', () => {
  it('lies on disk once, and one HEAD shows that the second repository holds it', async () => {
    const { upstream, mirror } = given;
    const bytes = randomBytes(12, MIB);
    const digest = upstream.pushBlob('team/one', bytes);
    upstream.pushBlob('team/two', bytes);
    await get(`${mirror.url}/v2/team/one/blobs/${digest}`);
    // Its client has it a moment before the store does.
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(1);
    upstream.reset();

    expect(digestOf((await get(`${mirror.url}/v2/team/two/blobs/${digest}`)).body)).toBe(digest);
    expect(upstream.count({ kind: 'blob', method: 'HEAD', status: 200 })).toBe(1);
    expect(upstream.count({ kind: 'cdn' }) + upstream.count({ kind: 'blob', method: 'GET' })).toBe(0);
    upstream.reset();
    await get(`${mirror.url}/v2/team/two/blobs/${digest}`);
    expect(upstream.requests).toEqual([]);
    expect(await storedBlobs(mirror)).toEqual([hexOf(digest)]);
  });

  it('is not given to a repository that upstream does not show to hold it, cached or on its way', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob('team/secret', randomBytes(13, 2 * MIB));
    upstream.pushBlob('team/other', randomBytes(14, 10));
    const stranger = `${mirror.url}/v2/team/other/blobs/${digest}`;
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });

    const client = await open(`${mirror.url}/v2/team/secret/blobs/${digest}`);
    await gate.waiting;
    expect((await get(stranger)).status).toBe(404);
    expect((await head(stranger)).status).toBe(404);
    gate.release();
    expect(digestOf((await client.rest()).body)).toBe(digest);
    expect((await get(stranger)).status).toBe(404);
    expect((await head(stranger)).status).toBe(404);
  });

  it('is joined by the second repository while it comes in for the first', async () => {
    const { upstream, mirror } = given;
    const bytes = randomBytes(15, 2 * MIB);
    const digest = upstream.pushBlob('team/one', bytes);
    upstream.pushBlob('team/two', bytes);
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const one = await open(`${mirror.url}/v2/team/one/blobs/${digest}`);
    await gate.waiting;
    const two = await open(`${mirror.url}/v2/team/two/blobs/${digest}`);
    gate.release();
    expect(digestOf((await one.rest()).body)).toBe(digest);
    expect(digestOf((await two.rest()).body)).toBe(digest);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    upstream.reset();
    await get(`${mirror.url}/v2/team/two/blobs/${digest}`);
    expect(upstream.requests).toEqual([]);
  });
});

describe('the smallest and the odd', () => {
  it('an empty blob comes whole, and a wrong empty body does not', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob(REPOSITORY, new Uint8Array());
    const answer = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect([answer.status, answer.body.length, answer.isCutShort]).toEqual([200, 0, false]);

    const other = upstream.pushBlob(REPOSITORY, randomBytes(16, 10));
    upstream.fault({ kind: 'cdn' }, { body: () => new Uint8Array(), headers: { 'content-length': '0' } });
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${other}`)).status).toBe(502);
    expect(await storedBlobs(mirror)).toHaveLength(1);
  });

  it('a blob with a sha512 digest is verified by it', async () => {
    const { upstream, mirror } = given;
    const image = buildImage({ algorithm: 'sha512', layers: 1 });
    upstream.push(REPOSITORY, 'latest', image);
    const [layer] = image.layers;
    const { body } = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${layer!.digest}`);
    expect(digestOf(body, 'sha512')).toBe(layer!.digest);
  });

  it('a blob whose length nobody tells comes whole and is kept', async () => {
    await using upstream = await ScriptedUpstream.start({ cdn: false });
    await using mirror = await startMirror({ upstreamUrl: upstream.url });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(17, 2 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    upstream.fault({ kind: 'blob' }, { headers: { 'content-length': undefined } }, 2);
    const { body, headers } = await get(url);
    expect(digestOf(body)).toBe(digest);
    expect(headers['transfer-encoding'] ?? headers['content-length']).toBeDefined();
    upstream.reset();
    expect((await get(url)).headers['content-length']).toBe(String(2 * MIB));
    expect(upstream.requests).toEqual([]);
  });
});
