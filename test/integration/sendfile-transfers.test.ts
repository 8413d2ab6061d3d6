/** Blobs that the system sends past Node.js: what is counted, what is logged, and who may still leave. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, open } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { canSendfile } from '../support/sending-server.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';

describe.skipIf(!canSendfile)('a mirror that sends by sendfile', () => {
  const given = useMirror({ env: { ENTREPOT_SENDFILE: 'always' } });
  /** When the first pull is not only answered but kept. */
  const stored = () =>
    expect.poll(() => given.mirror.log).toContainEqual(expect.objectContaining({ outcome: 'stored' }));
  const requests = () => given.mirror.log.filter((line) => line['route'] === 'blob');

  it('serves a blob whole and in ranges, cold and warm, and counts all of its bytes', async () => {
    const { upstream, v2 } = given;
    const bytes = randomBytes('served', 5 * MIB + 7);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    const url = `${v2}/${REPOSITORY}/blobs/${digest}`;
    for (const source of ['miss', 'hit']) {
      expect(digestOf((await get(url)).body)).toBe(digest);
      await expect.poll(() => requests().at(-1)).toMatchObject({ source, bytes: bytes.length });
      await stored();
    }
    const { status, body } = await get(url, { range: `${MIB}-${4 * MIB}` });
    expect({ status, isRight: body.equals(bytes.subarray(MIB, 4 * MIB + 1)) }).toEqual({
      status: 206,
      isRight: true,
    });
  });

  it('says of a client that leaves how much it was given', async () => {
    const { upstream, v2 } = given;
    const bytes = randomBytes('left', 24 * MIB);
    const url = `${v2}/${REPOSITORY}/blobs/${upstream.pushBlob(REPOSITORY, bytes)}`;
    await get(url);
    await stored();
    const leaving = await open(url);
    await leaving.read(8 * MIB);
    leaving.destroy();
    await expect.poll(() => requests().at(-1)).toMatchObject({ source: 'hit', aborted: true });
    const { bytes: given8 } = requests().at(-1)!;
    expect(given8).toBeGreaterThanOrEqual(8 * MIB);
    expect(given8).toBeLessThan(bytes.length);
  });

  it('gives nobody the end of a cold blob that turns out to be another, late-comers included', async () => {
    const { upstream, v2 } = given;
    const bytes = randomBytes('wrong', 6 * MIB);
    const digest = upstream.pushBlob(REPOSITORY, bytes);
    upstream.fault({ kind: 'cdn' }, { body: flipByte(5 * MIB) });
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: 4 * MIB });
    const url = `${v2}/${REPOSITORY}/blobs/${digest}`;
    const first = await open(url);
    await gate.waiting;
    const late = await open(url);
    gate.release();
    for (const client of [first, late]) {
      const { body, isCutShort } = await client.rest();
      expect(isCutShort).toBe(true);
      expect(body.length).toBeLessThan(bytes.length);
    }
  });
});
