/** R5 of what clients need: parts of a blob, right to the byte, also of one that has only begun to come in. */
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { get, head, open, request } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { useMirror } from '../support/use-mirror.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const REPOSITORY = 'library/alpine';
/** As in the conformance suite of the OCI. */
const SIZE = 2048;

const given = useMirror({}, beforeAll);
let blobs = 0;

interface Blob {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly url: string;
}

function pushBlob(size: number): Blob {
  const bytes = randomBytes(`blob ${(blobs += 1)}`, size);
  const digest = given.upstream.pushBlob(REPOSITORY, bytes);
  return { bytes, digest, url: `${given.v2}/${REPOSITORY}/blobs/${digest}` };
}

/** A blob that nobody has asked for, or one that is here. */
async function blobThatIs(state: string, size = SIZE): Promise<Blob> {
  const blob = pushBlob(size);
  if (state === 'warm') await get(blob.url);
  return blob;
}

const STATES = ['cold', 'warm'];
const onBoth = <Row extends readonly unknown[]>(rows: readonly Row[]) =>
  STATES.flatMap((state) => rows.map((row) => [state, ...row] as const));

describe('R5: a range', () => {
  const RANGES: readonly (readonly [range: string, start: number, end: number])[] = [
    ['0-0', 0, 1],
    ['0-99', 0, 100],
    ['500-1499', 500, 1500],
    ['2047-2047', 2047, 2048],
    ['0-2047', 0, 2048],
    ['0-', 0, 2048],
    ['500-', 500, 2048],
    ['2047-', 2047, 2048],
    ['-1', 2047, 2048],
    ['-500', 1548, 2048],
    ['-2048', 0, 2048],
    ['-5000', 0, 2048],
    ['2000-5000', 2000, 2048],
    ['0-99999999999999999999', 0, 2048],
    ['0500-0501', 500, 502],
  ];

  it.each(onBoth(RANGES))(
    'of a %s blob, %s, is the bytes from %i up to %i',
    async (state, range, start, end) => {
      const blob = await blobThatIs(state);
      const response = await get(blob.url, { range });
      expect(response.status).toBe(206);
      expect(response.headers).toMatchObject({
        'content-range': `bytes ${start}-${end - 1}/${SIZE}`,
        'content-length': String(end - start),
        'content-type': 'application/octet-stream',
        'docker-content-digest': blob.digest,
        etag: `"${blob.digest}"`,
        'accept-ranges': 'bytes',
      });
      expect(response.isCutShort).toBe(false);
      expect(response.body).toEqual(blob.bytes.subarray(start, end));
    },
  );

  const BEYOND = [
    ['2048-'],
    ['2048-2048'],
    ['5000-10000'],
    ['500-0'],
    ['-0'],
    ['99999999999999999999-'],
  ] as const;

  it.each(onBoth(BEYOND))('of a %s blob, %s, is a 416 that says how much there is', async (state, range) => {
    const blob = await blobThatIs(state);
    const response = await get(blob.url, { range });
    expectError(response, 416, 'RANGE_INVALID');
    expect(response.headers['content-range']).toBe(`bytes */${SIZE}`);
  });

  const IGNORED = [
    ['bytes=0-9,20-29'],
    ['bytes=0-9, 20-29, -5'],
    ['bytes=abc'],
    ['bytes=-'],
    ['bytes='],
    ['bytes=1'],
    ['bytes=1-2-3'],
    ['bytes 0-9'],
    ['bytes=0x10-0x20'],
    ['bytes=--5'],
    ['items=0-9'],
    ['0-9'],
    [''],
  ] as const;

  it.each(onBoth(IGNORED))('of a %s blob that says %j gets the whole, with 200', async (state, range) => {
    const blob = await blobThatIs(state);
    const response = await get(blob.url, { headers: { range } });
    expect(response.status).toBe(200);
    expect(response.headers['content-range']).toBeUndefined();
    expect(response.headers['content-length']).toBe(String(SIZE));
    expect(response.body).toEqual(blob.bytes);
  });

  it.each(['bytes=0-9', 'BYTES=0-9', 'bytes= 0-9'])('is understood as %j', async (range) => {
    const blob = await blobThatIs('warm');
    const response = await get(blob.url, { headers: { range } });
    expect(response.status).toBe(206);
    expect(response.body).toEqual(blob.bytes.subarray(0, 10));
  });

  it('of an empty blob is all of it: some clients send bytes=0- with everything', async () => {
    const blob = pushBlob(0);
    for (const range of ['0-', '0-99']) {
      const response = await get(blob.url, { range });
      expect(response.status).toBe(200);
      expect(response.headers['content-length']).toBe('0');
    }
  });

  it('is no matter of manifests, tags and HEADs', async () => {
    const blob = await blobThatIs('cold');
    for (const method of ['HEAD', 'GET', 'HEAD']) {
      const { status, headers } = await request(blob.url, { method, range: '0-9' });
      expect([status, headers['content-length']]).toEqual(method === 'HEAD' ? [200, '2048'] : [206, '10']);
    }
    expect((await get(`${given.v2}/`, { range: '0-0' })).status).toBe(200);
  });
});

describe('R5: a range of a cold blob', () => {
  it('is cut from the one download of the whole, which the next client finds in the cache', async () => {
    const blob = pushBlob(3 * MIB);
    given.upstream.reset();
    const response = await get(blob.url, { range: `${2 * MIB}-` });
    expect(response.body.equals(blob.bytes.subarray(2 * MIB))).toBe(true);
    const downloads = given.upstream.requests.filter(({ origin }) => origin === 'cdn');
    expect(downloads.map(({ headers }) => headers.range)).toEqual([undefined]);
    expect(digestOf((await get(blob.url)).body)).toBe(blob.digest);
    expect(given.upstream.count({ origin: 'cdn' })).toBe(1);
  });

  it('comes as the blob comes, but for its last byte, which nobody gets before the digest is known', async () => {
    const blob = pushBlob(3 * MIB);
    const gate = given.upstream.hold({ kind: 'cdn', reference: blob.digest }, { afterBytes: 2 * MIB });
    const response = await open(blob.url, { range: `${MIB}-${MIB + 99}` });
    expect(response.status).toBe(206);
    expect(await response.read(99)).toEqual(blob.bytes.subarray(MIB, MIB + 99));
    gate.release();
    expect((await response.rest()).body).toEqual(blob.bytes.subarray(MIB + 99, MIB + 100));
    expect(given.upstream.count({ kind: 'cdn', reference: blob.digest })).toBe(1);
  });

  it('never ends well where the blob turns out to be another', async () => {
    const blob = pushBlob(3 * MIB);
    given.upstream.fault({ kind: 'cdn', reference: blob.digest }, { body: flipByte(3 * MIB - 1) });
    const response = await get(blob.url, { range: '0-99' });
    expect(response.status).toBe(206);
    expect(response.isCutShort).toBe(true);
    expect(response.body.length).toBeLessThan(100);
  });

  it('waits for bytes that have not come yet, with its headers sent', async () => {
    const blob = pushBlob(3 * MIB);
    const gate = given.upstream.hold({ kind: 'cdn', reference: blob.digest }, { afterBytes: MIB });
    const waiting = await open(blob.url, { range: `-${100 * KIB}` });
    expect(waiting.status).toBe(206);
    expect(waiting.headers['content-range']).toBe(`bytes ${3 * MIB - 100 * KIB}-${3 * MIB - 1}/${3 * MIB}`);
    gate.release();
    const { body, isCutShort } = await waiting.rest();
    expect(isCutShort).toBe(false);
    expect(body.equals(blob.bytes.subarray(-100 * KIB))).toBe(true);
    expect(given.upstream.count({ kind: 'cdn', reference: blob.digest })).toBe(1);
  });

  it('serves clients that read one chunk each of an open range and leave (containerd, in parallel)', async () => {
    const blob = pushBlob(3 * MIB);
    const offsets = [0, MIB, 2 * MIB];
    given.upstream.reset();
    const parts = await Promise.all(
      offsets.map(async (offset) => {
        const response = await open(blob.url, { range: `${offset}-` });
        expect(response.status).toBe(206);
        const part = await response.read(MIB);
        response.destroy();
        return part;
      }),
    );
    expect(Buffer.concat(parts).equals(blob.bytes)).toBe(true);
    expect((await get(blob.url)).body.equals(blob.bytes)).toBe(true);
    expect(given.upstream.count({ origin: 'cdn' })).toBe(1);
  });

  it('goes on where a client was cut off (dockerd, containerd, podman)', async () => {
    const blob = pushBlob(2 * MIB);
    const first = await open(blob.url);
    const begun = await first.read(MIB + 17);
    first.destroy();
    const second = await get(blob.url, { range: `${begun.length}-` });
    expect(second.headers['content-range']).toBe(`bytes ${begun.length}-${2 * MIB - 1}/${2 * MIB}`);
    expect(Buffer.concat([begun, second.body]).equals(blob.bytes)).toBe(true);
  });
});

describe('R5: the HEAD of a cold blob', () => {
  it('costs one HEAD upstream and downloads nothing, on its own origin or a CDN', async () => {
    const blob = pushBlob(SIZE);
    await head(`${given.v2}/${REPOSITORY}/manifests/none`); // There is a token from here on.
    given.upstream.reset();
    const response = await head(blob.url);
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      'content-length': String(SIZE),
      'docker-content-digest': blob.digest,
      'accept-ranges': 'bytes',
    });
    expect(given.upstream.requests.map(({ method, kind }) => `${method} ${kind}`)).toEqual(['HEAD blob']);
    expect(given.upstream.blobBytesSent).toBe(0);
    expect((await get(blob.url)).body).toEqual(blob.bytes);
  });

  it('says that upstream has none, and the GET behind it still finds what was pushed since', async () => {
    pushBlob(SIZE); // The repository itself is there.
    const bytes = randomBytes('later', SIZE);
    const url = `${given.v2}/${REPOSITORY}/blobs/${digestOf(bytes)}`;
    expectHeadError(await head(url), 404);
    given.upstream.pushBlob(REPOSITORY, bytes);
    expect((await get(url)).body).toEqual(bytes);
  });
});
