/** R7 of what clients need: an answer begins long before its blob is complete (containerd waits 30 s for headers). */
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, open } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';

describe('R7: the headers of a cold blob', () => {
  const given = useMirror({}, beforeAll);

  const pushBlob = (seed: string) => {
    const bytes = randomBytes(seed, 2 * MIB);
    const digest = given.upstream.pushBlob(REPOSITORY, bytes);
    return { bytes, digest, url: `${given.v2}/${REPOSITORY}/blobs/${digest}` };
  };

  /** A mirror that waits for more gives up in the end, and tries again: the held answer must have been the only one. */
  const expectOneDownload = (reference: string) =>
    expect(given.upstream.count({ kind: 'cdn', reference })).toBe(1);

  it('come before its first byte has', async () => {
    const { bytes, digest, url } = pushBlob('first');
    const gate = given.upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: 0 });
    const response = await open(url);
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      'content-length': String(2 * MIB),
      'docker-content-digest': digest,
      'content-type': 'application/octet-stream',
    });
    gate.release();
    expect((await response.rest()).body.equals(bytes)).toBe(true);
    expectOneDownload(digest);
  });

  it('are followed by what has come so far, before it is complete', async () => {
    const { bytes, digest, url } = pushBlob('middle');
    const gate = given.upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: MIB });
    const response = await open(url);
    // What came last stays back: it may turn out to be the end.
    expect((await response.read(MIB - 1)).equals(bytes.subarray(0, MIB - 1))).toBe(true);
    gate.release();
    expect((await response.rest()).body.equals(bytes.subarray(MIB - 1))).toBe(true);
    expectOneDownload(digest);
  });

  it('come to who joins as well, with what was there before he came', async () => {
    const { bytes, digest, url } = pushBlob('joined');
    const gate = given.upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: MIB });
    const first = await open(url);
    await gate.waiting;
    const second = await open(url);
    expect((await second.read(MIB - 1)).equals(bytes.subarray(0, MIB - 1))).toBe(true);
    gate.release();
    expect(digestOf((await first.rest()).body)).toBe(digest);
    expect((await second.rest()).body.equals(bytes.subarray(MIB - 1))).toBe(true);
    expectOneDownload(digest);
  });

  it('come without a length where upstream tells none, and the body still ends well', async () => {
    const { bytes, digest, url } = pushBlob('chunked');
    const untold = { headers: { 'content-length': undefined } };
    given.upstream.fault({ kind: 'cdn', reference: digest }, untold);
    given.upstream.fault({ kind: 'blob', method: 'HEAD', reference: digest }, untold);
    const gate = given.upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: MIB });
    const response = await open(url, { range: '0-9' });
    expect(response.status).toBe(200);
    expect(response.headers['content-length']).toBeUndefined();
    expect(response.headers['accept-ranges']).toBeUndefined();
    gate.release();
    const { body, isCutShort } = await response.rest();
    expect(isCutShort).toBe(false);
    expect(body.equals(bytes)).toBe(true);
    expectOneDownload(digest);
    expect((await get(url, { range: '0-9' })).status).toBe(206);
  });
});
