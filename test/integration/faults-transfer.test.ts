/** Connections that break, stall or come to nothing in the middle of a pull: the client sees one whole body. */
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { get, type Response } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import type { Fault } from '../support/scripted-upstream-faults.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import type { Match } from '../support/scripted-upstream-request.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const SIZE = 3 * MIB;
/** What undici may hold of a body when its connection ends. */
const HANDED_OVER = 64 * 1024;
const REPOSITORY = 'library/alpine';
const BLOB_GET = { kind: 'blob', method: 'GET' } as const;
/** No length: chunks. */
const CHUNKED = { 'content-length': undefined };
/** No length and no chunks: the body ends with the connection, and a cut looks the same. */
const TO_THE_END = { 'content-length': undefined, 'transfer-encoding': 'identity', connection: 'close' };

function expectWhole({ status, body, isCutShort }: Response, digest: Digest): void {
  expect({ status, digest: digestOf(body), isCutShort }).toEqual({ status: 200, digest, isCutShort: false });
}

describe('a connection that is cut in the middle of a blob', () => {
  const given = useMirror();
  const PLACES = {
    'before the first byte': 0,
    'after the first byte': 1,
    'in the middle': MIB,
    'before the last byte': SIZE - 1,
  };

  for (const by of ['fin', 'rst'] as const) {
    for (const [where, afterBytes] of Object.entries(PLACES)) {
      for (const times of [1, 5]) {
        it(`is not noticed by the client: by ${by.toUpperCase()}, ${where}, ${times} times in a row`, async () => {
          const { upstream } = given;
          const digest = upstream.pushBlob(REPOSITORY, randomBytes('cut', SIZE));
          upstream.fault({ kind: 'cdn' }, { cut: { by, afterBytes } });
          // What is left is less each time: of the last byte, nothing comes.
          const again = where === 'before the last byte' ? 0 : Math.min(afterBytes, SIZE / 12);
          upstream.fault({ kind: 'cdn' }, { cut: { by, afterBytes: again } }, times - 1);

          expectWhole(await get(`${given.v2}/${REPOSITORY}/blobs/${digest}`), digest);
          expect(upstream.count({ kind: 'cdn' })).toBe(times + 1);
          // What a RST overtakes is lost, and what was just being handed over when a FIN came.
          const lost = by === 'rst' ? afterBytes + (times - 1) * again : times * HANDED_OVER;
          expect(upstream.blobBytesSent).toBeGreaterThanOrEqual(SIZE);
          expect(upstream.blobBytesSent).toBeLessThanOrEqual(SIZE + lost);
        });
      }
    }
  }

  it('goes on behind what has come where upstream ignores Range and sends all of it again', async () => {
    const { upstream } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('ignored', SIZE));
    for (const afterBytes of [MIB, 2 * MIB, MIB]) {
      upstream.fault({ kind: 'cdn' }, { ignoresRange: true, cut: { by: 'fin', afterBytes } });
    }
    upstream.fault({ kind: 'cdn' }, { ignoresRange: true });
    expectWhole(await get(`${given.v2}/${REPOSITORY}/blobs/${digest}`), digest);
    expect(upstream.blobBytesSent).toBe(4 * MIB + SIZE);
  });

  it('goes on by a new address where the signed one has expired meanwhile', async () => {
    const { upstream } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('expired', SIZE));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    upstream.fault({ kind: 'cdn' }, { cut: { by: 'fin', afterBytes: MIB } });
    const answer = get(`${given.v2}/${REPOSITORY}/blobs/${digest}`);
    await gate.waiting;
    upstream.expireLinks();
    gate.release();
    expectWhole(await answer, digest);
    expect(upstream.blobBytesSent).toBe(SIZE);
    expect(upstream.count({ ...BLOB_GET, status: 307 })).toBe(2);
  });

  it('asks for another address where one is refused, at the start and in the middle', async () => {
    const { upstream } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('refused', SIZE));
    const refused = {
      status: 403,
      headers: { 'content-type': 'application/xml' },
      body: Buffer.from('<Error/>'),
    };
    upstream.reply({ kind: 'cdn' }, refused);
    upstream.fault({ kind: 'cdn' }, { cut: { by: 'fin', afterBytes: MIB } });
    upstream.reply({ kind: 'cdn' }, refused);
    expectWhole(await get(`${given.v2}/${REPOSITORY}/blobs/${digest}`), digest);
    expect(upstream.blobBytesSent).toBe(SIZE);
  });
});

for (const cdn of [true, false]) {
  describe(`a token that expires in the middle of a blob, ${cdn ? 'with' : 'without'} a CDN`, () => {
    const given = useMirror({ scripted: { cdn } });

    it('is replaced when the connection breaks', async () => {
      const { upstream } = given;
      const digest = upstream.pushBlob(REPOSITORY, randomBytes('token', SIZE));
      const body: Match = cdn ? { kind: 'cdn' } : { ...BLOB_GET, status: 200 };
      const gate = upstream.hold(body, { afterBytes: MIB });
      upstream.fault(body, { cut: { by: 'fin', afterBytes: MIB } });
      const answer = get(`${given.v2}/${REPOSITORY}/blobs/${digest}`);
      await gate.waiting;
      upstream.expireTokens();
      gate.release();
      expectWhole(await answer, digest);
      expect(upstream.blobBytesSent).toBe(SIZE);
      expect(upstream.count({ kind: 'token' })).toBe(2);
      expect(upstream.count({ ...BLOB_GET, status: 401 })).toBe(2);
    });
  });
}

describe('a body without a length', () => {
  const given = useMirror();

  for (const [how, headers] of Object.entries({
    chunked: CHUNKED,
    'ended by the connection alone': TO_THE_END,
  })) {
    for (const isSizeKnown of [true, false]) {
      const told = isSizeKnown ? 'of which a HEAD tells the size' : 'of which nobody tells the size';
      for (const by of ['fin', 'rst', undefined] as const) {
        const until = by === undefined ? '' : ` until it is cut by ${by.toUpperCase()}, and goes on`;
        it(`comes whole: ${how}, ${told}${until}`, async () => {
          const { upstream } = given;
          const digest = upstream.pushBlob(REPOSITORY, randomBytes(how, SIZE));
          const heads: Fault = isSizeKnown ? {} : { headers: CHUNKED };
          upstream.fault({ kind: 'blob', method: 'HEAD' }, heads, 10);
          upstream.fault({ kind: 'cdn' }, { headers, ...(by ? { cut: { by, afterBytes: MIB } } : {}) });
          upstream.fault({ kind: 'cdn' }, { headers }, 10);
          const url = `${given.v2}/${REPOSITORY}/blobs/${digest}`;
          expectWhole(await get(url), digest);
          expect(upstream.count({ kind: 'cdn' })).toBe(by === undefined ? 1 : 2);
          if (by !== 'rst') expect(upstream.blobBytesSent).toBe(SIZE);
          upstream.reset();
          expectWhole(await get(url), digest);
          expect(upstream.requests).toEqual([]);
        });
      }
    }
  }
});

describe('an upstream that falls silent', () => {
  const given = useMirror({
    env: { ENTREPOT_UPSTREAM_BODY_TIMEOUT: '200ms', ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: '500ms' },
  });

  it.each([
    ['before the headers', {}],
    ['before the first byte', { afterBytes: 0 }],
    ['in the middle', { afterBytes: MIB }],
    ['before the last byte', { afterBytes: SIZE - 1 }],
  ])('of a blob is left, and asked again from there: %s', async (_, stall) => {
    const { upstream } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('stall', SIZE));
    upstream.fault({ kind: 'cdn' }, { stall });
    expectWhole(await get(`${given.v2}/${REPOSITORY}/blobs/${digest}`), digest);
    expect([upstream.count({ kind: 'cdn' }), upstream.blobBytesSent]).toEqual([2, SIZE]);
  });

  it.each([
    ['manifest', { afterBytes: 10 }],
    ['manifest', {}],
    ['token', {}],
    ['tags', { afterBytes: 1 }],
  ] as const)('in the middle of a question is asked again: %s', async (kind, stall) => {
    const image = buildImage();
    given.upstream.push(REPOSITORY, '3', image);
    given.upstream.fault({ kind }, { stall });
    const path = kind === 'tags' ? 'tags/list' : `manifests/${image.manifest.digest}`;
    expect((await get(`${given.v2}/${REPOSITORY}/${path}`)).status).toBe(200);
  });
});

describe('an upstream that fails and comes back', () => {
  const given = useMirror();
  const image = buildImage();
  const [layer] = image.layers;
  /** What is asked for, and which request of it goes wrong. */
  const QUESTIONS: readonly [what: string, path: string, match: Match][] = [
    ['a tag', 'manifests/3', { kind: 'manifest', method: 'HEAD' }],
    ['the manifest of a tag', 'manifests/3', { kind: 'manifest', method: 'GET' }],
    ['a manifest', `manifests/${image.manifest.digest}`, { kind: 'manifest' }],
    ['the list of tags', 'tags/list', { kind: 'tags' }],
    ['referrers', `referrers/${image.manifest.digest}`, { kind: 'referrers' }],
    ['a blob', `blobs/${layer!.digest}`, { kind: 'blob' }],
    ["a blob's bytes", `blobs/${layer!.digest}`, { kind: 'cdn' }],
    ['a token', 'manifests/3', { kind: 'token' }],
  ];

  it.each(QUESTIONS)('is asked again after a 5xx: for %s', async (_, path, match) => {
    given.upstream.push(REPOSITORY, '3', image);
    given.upstream.reply(match, { status: 503, body: Buffer.from('<h1>Sorry</h1>') });
    given.upstream.reply(match, errorReply(500, 'UNKNOWN'));
    expect((await get(`${given.v2}/${REPOSITORY}/${path}`)).status).toBe(200);
  });

  it.each(QUESTIONS)('is asked again after it has dropped the connection: for %s', async (_, path, match) => {
    given.upstream.push(REPOSITORY, '3', image);
    given.upstream.fault(match, { cut: { by: 'fin' } });
    given.upstream.fault(match, { cut: { by: 'rst' } });
    expect((await get(`${given.v2}/${REPOSITORY}/${path}`)).status).toBe(200);
  });
});

describe('an upstream that is away for a while', () => {
  let away = Promise.withResolvers<undefined>();
  let back = Promise.withResolvers<undefined>();
  /** Whoever would try again waits until it is back. */
  const pause = async () => {
    away.resolve(undefined);
    await back.promise;
  };
  const given = useMirror({ pause });
  const image = buildImage();

  beforeEach(() => {
    away = Promise.withResolvers();
    back = Promise.withResolvers();
  });

  async function comeBack(): Promise<void> {
    await away.promise;
    await given.upstream.restart();
    back.resolve(undefined);
  }

  it.each([
    ['a tag', 'manifests/3'],
    ['a manifest', `manifests/${image.manifest.digest}`],
    ['the list of tags', 'tags/list'],
    ['referrers', `referrers/${image.manifest.digest}`],
    ['a blob', `blobs/${image.config.digest}`],
  ])('is asked again after it has refused connections: for %s', async (_, path) => {
    given.upstream.push(REPOSITORY, '3', image);
    await given.upstream.stop();
    const answer = get(`${given.v2}/${REPOSITORY}/${path}`);
    await comeBack();
    expect((await answer).status).toBe(200);
  });

  it('is asked for the rest of a blob', async () => {
    const digest = given.upstream.pushBlob(REPOSITORY, randomBytes('outage', SIZE));
    const gate = given.upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const answer = get(`${given.v2}/${REPOSITORY}/blobs/${digest}`);
    await gate.waiting;
    await given.upstream.stop();
    await comeBack();
    expectWhole(await answer, digest);
  });
});
