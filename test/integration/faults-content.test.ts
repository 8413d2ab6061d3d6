/** An upstream that sends what is wrong: no client sees a good-looking body of it, and nothing of it stays. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_MANIFEST_BYTES, MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { get, head, jsonOf, type Response } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { flipByte, type Fault } from '../support/scripted-upstream-faults.ts';
import { htmlPage, jsonReply } from '../support/scripted-upstream-reply.ts';
import type { Match } from '../support/scripted-upstream-request.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const SIZE = 1024 * 1024;
const image = buildImage({ layers: [randomBytes('layer', SIZE)] });
const other = buildImage({ seed: 'other' });
const [layer] = image.layers;
/** However often it is asked, until the test has it heal. */
const ALWAYS = 1000;
const NO_PAGE = /web page|text\/html|is not JSON/;

type Lie = readonly [what: string, fault: Fault, log: RegExp];

const cut = (bytes: Uint8Array) => bytes.subarray(0, -10);
const lengthened = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.from('and more')]);
/** What a body claims to have, and has not. */
const claims = (length: number): Fault => ({ headers: { 'content-length': String(length) } });

for (const cdn of [true, false]) {
  const body: Match = cdn ? { kind: 'cdn' } : { kind: 'blob', method: 'GET' };
  const path = `blobs/${layer!.digest}`;

  const lies: readonly Lie[] = [
    ['its first byte flipped', { body: flipByte(0) }, /instead of .*sha256:/],
    ['its last byte flipped', { body: flipByte(SIZE - 1) }, /instead of .*sha256:/],
    ['bytes missing at its end', { body: cut }, /instead of .*sha256:/],
    ['bytes behind its end', { body: lengthened }, /instead of .*sha256:/],
    ['no byte', { body: () => new Uint8Array() }, /instead of .*sha256:/],
    ['a Content-Length that is too small', claims(SIZE - 10), /instead of .*sha256:|more than/],
    ['another blob', { body: () => randomBytes('another', SIZE) }, /instead of .*sha256:/],
    ['a web page', { reply: htmlPage() }, NO_PAGE],
    ['compressed bytes', { headers: { 'content-encoding': 'gzip' } }, /Content-Encoding \(gzip\)/],
  ];
  describe(`a blob ${cdn ? 'of a CDN' : 'of the registry itself'} that comes with`, () => {
    const given = useWorld({ cdn });

    it.each(lies)('%s', async (_, fault, log) => {
      given.upstream.fault(body, fault, ALWAYS);
      expectNoGoodBody(await get(`${given.v2}/${REPOSITORY}/${path}`));
      await nothingKept(given, log, 'blob');
      given.upstream.clearScript();
      const healed = await get(`${given.v2}/${REPOSITORY}/${path}`);
      expect([healed.status, healed.body.equals(layer!.bytes)]).toEqual([200, true]);
    });
  });
}

describe('a Content-Length that promises more than there is', () => {
  const given = useWorld();

  // It looks like a connection that broke: no lie to count, and what has come may be of use.
  it.each([
    ['blob', `blobs/${layer!.digest}`, 'cdn', layer!],
    ['manifest by tag', 'manifests/3', 'manifest', image.manifest],
    ['manifest by digest', `manifests/${image.manifest.digest}`, 'manifest', image.manifest],
  ] as const)('is not met by a whole body: of a %s', async (_, path, kind, { bytes }) => {
    const url = `${given.v2}/${REPOSITORY}/${path}`;
    given.upstream.fault({ kind, method: 'GET' }, claims(bytes.length + 10), ALWAYS);
    expectNoGoodBody(await get(url));
    await nothingStored(given);
    given.upstream.clearScript();
    const healed = await get(url);
    expect([healed.status, healed.isCutShort, healed.body.equals(bytes)]).toEqual([200, false, true]);
  });
});

describe('a HEAD of a blob that is answered', () => {
  const given = useWorld();
  const url = () => `${given.v2}/${REPOSITORY}/blobs/${layer!.digest}`;

  it.each([
    ['with a web page', { reply: htmlPage() }, NO_PAGE],
    [
      'for another blob',
      { headers: { 'docker-content-digest': other.config.digest } },
      /the answer is for sha256/,
    ],
  ] as const)('%s is no proof that there is one', async (_, fault, log) => {
    given.upstream.fault({ kind: 'blob', method: 'HEAD' }, fault, ALWAYS);
    expect((await head(url())).status).toBe(502);
    await nothingKept(given, log, 'blob');
    given.upstream.clearScript();
    expect((await head(url())).headers['content-length']).toBe(String(SIZE));
  });
});

describe('a GET of a blob that is answered', () => {
  const given = useWorld({ cdn: false });

  it('for another blob is refused, whatever the bytes', async () => {
    const url = `${given.v2}/${REPOSITORY}/blobs/${layer!.digest}`;
    const fault = { headers: { 'docker-content-digest': other.config.digest } };
    given.upstream.fault({ kind: 'blob', method: 'GET' }, fault, ALWAYS);
    expectNoGoodBody(await get(url));
    await nothingKept(given, /the answer is for sha256:/, 'blob');
    given.upstream.clearScript();
    expect((await get(url)).body.equals(layer!.bytes)).toBe(true);
  });
});

const MANIFEST_LIES: readonly Lie[] = [
  ['a byte flipped', { body: flipByte(40) }, /instead of sha256:/],
  ['bytes missing at its end', { body: cut }, /instead of sha256:/],
  ['bytes behind its end', { body: lengthened }, /instead of sha256:/],
  ['a Content-Length that is too small', claims(image.manifest.bytes.length - 10), /instead of sha256:/],
  ['the bytes of another manifest', { body: () => other.manifest.bytes }, /instead of sha256:/],
  [
    'a Content-Type that contradicts its mediaType',
    { headers: { 'content-type': MEDIA_TYPE.ociIndex } },
    /says mediaType .*manifest.* but came as .*index/,
  ],
  ['a web page in its place', { reply: htmlPage() }, /instead of sha256:|text\/html|is not JSON/],
  ['JSON that is no manifest in its place', { reply: jsonReply(200, { ok: true }) }, /instead of sha256:/],
  [
    'more than 4 MiB',
    { body: () => Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' ') },
    /longer than 4194304|than 4 MiB/,
  ],
  [
    'more than 4 MiB and no Content-Length',
    { body: () => Buffer.alloc(2 * MAX_MANIFEST_BYTES, ' '), headers: { 'content-length': undefined } },
    /longer than 4194304|than 4 MiB/,
  ],
];

describe('a manifest that comes with', () => {
  const given = useWorld();

  for (const reference of ['3', image.manifest.digest]) {
    it.each(MANIFEST_LIES)(`%s, asked for as ${reference.slice(0, 6)}`, async (_, fault, log) => {
      const url = `${given.v2}/${REPOSITORY}/manifests/${reference}`;
      given.upstream.fault({ kind: 'manifest', method: 'GET' }, fault, ALWAYS);
      expectNoGoodBody(await get(url));
      await nothingKept(given, log, 'manifest');
      given.upstream.clearScript();
      expect((await get(url)).body.equals(image.manifest.bytes)).toBe(true);
    });
  }

  it('another digest in its header, by tag, is refused, and by digest served under its own', async () => {
    const fault = { headers: { 'docker-content-digest': other.manifest.digest } };
    // No digest in the answer to HEAD: it is the GET of the tag that tells.
    given.upstream.fault(
      { kind: 'manifest', method: 'HEAD' },
      { headers: { 'docker-content-digest': undefined } },
    );
    given.upstream.fault({ kind: 'manifest', method: 'GET' }, fault, 2);
    expectNoGoodBody(await get(`${given.v2}/${REPOSITORY}/manifests/3`));
    await nothingKept(given, /instead of sha256:/, 'manifest');
    const served = await get(`${given.v2}/${REPOSITORY}/manifests/${image.manifest.digest}`);
    expect(served.body.equals(image.manifest.bytes)).toBe(true);
    expect(served.headers['docker-content-digest']).toBe(image.manifest.digest);
  });
});

describe('a HEAD of a manifest that is answered', () => {
  const given = useWorld();
  const url = (reference: string) => `${given.v2}/${REPOSITORY}/manifests/${reference}`;

  it('for another digest than the one asked for is refused', async () => {
    const fault = { headers: { 'docker-content-digest': other.manifest.digest } };
    given.upstream.fault({ kind: 'manifest', method: 'HEAD' }, fault, ALWAYS);
    expect((await head(url(image.manifest.digest))).status).toBe(502);
    await nothingKept(given, /the answer is for sha256:/, 'manifest');
    given.upstream.clearScript();
    expect((await head(url(image.manifest.digest))).status).toBe(200);
  });

  /** As dockerd does; the TTL of tags does not pass in between. */
  async function pullByTag(): Promise<Response> {
    const resolved = await head(url('3'));
    if (resolved.status !== 200) return resolved;
    return get(url(String(resolved.headers['docker-content-digest'])));
  }

  it.each([
    ['a digest that nothing has', { headers: { 'docker-content-digest': other.manifest.digest } }],
    ['a digest that is none', { headers: { 'docker-content-digest': 'sha256:abc' } }],
    ['a web page', { reply: htmlPage() }],
    ['the type of an index', { headers: { 'content-type': MEDIA_TYPE.ociIndex } }],
    ['a wrong length', { headers: { 'content-length': '10' } }],
  ])('with %s is no longer believed once upstream is right again, in no TTL', async (_, fault) => {
    given.upstream.push(REPOSITORY, '3', image);
    given.upstream.fault({ kind: 'manifest', method: 'HEAD' }, fault, ALWAYS);
    const { status, body, isCutShort } = await pullByTag();
    const isRight = status === 200 && !isCutShort && body.equals(image.manifest.bytes);
    expect(isRight || status >= 400 || isCutShort).toBe(true);
    given.upstream.clearScript();
    const healed = await pullByTag();
    expect(healed.status).toBe(200);
    expect(healed.body.equals(image.manifest.bytes)).toBe(true);
    const { headers } = await head(url('3'));
    expect(headers).toMatchObject({
      'docker-content-digest': image.manifest.digest,
      'content-type': image.manifest.mediaType,
      'content-length': String(image.manifest.bytes.length),
    });
  });

  it('rightly, before a GET that is not, is followed by a pull that works once upstream is right again', async () => {
    given.upstream.fault({ kind: 'manifest', method: 'GET' }, { body: flipByte(40) }, ALWAYS);
    expectNoGoodBody(await pullByTag());
    await nothingKept(given, /instead of sha256:/, 'manifest');
    given.upstream.clearScript();
    expect((await pullByTag()).body.equals(image.manifest.bytes)).toBe(true);
  });
});

describe('a list that comes as', () => {
  const given = useWorld();

  it.each([
    ['a web page', { reply: htmlPage() }, NO_PAGE],
    ['half of its JSON', { body: cut }, /is not JSON/],
    ['a string', { reply: jsonReply(200, 'tags') }, /./],
    ['an error with status 200', { reply: jsonReply(200, { errors: [{ code: 'DENIED' }] }) }, /./],
    ['no list of tags', { reply: jsonReply(200, { name: REPOSITORY, tags: 'latest' }) }, /./],
  ] as const)('%s is no list of tags', async (_, fault, log) => {
    given.upstream.fault({ kind: 'tags' }, fault, ALWAYS);
    expectNoGoodBody(await get(`${given.v2}/${REPOSITORY}/tags/list`));
    await nothingKept(given, log, 'tags');
    given.upstream.clearScript();
    expect(jsonOf(await get(`${given.v2}/${REPOSITORY}/tags/list`))).toMatchObject({ tags: ['3'] });
  });

  const index = { 'content-type': MEDIA_TYPE.ociIndex };
  it.each([
    ['a web page', { reply: { ...htmlPage(), headers: index } }],
    ['half of its JSON', { body: cut }],
    ['a string', { reply: jsonReply(200, 'manifests', index) }],
    ['no list of manifests', { reply: jsonReply(200, { schemaVersion: 2, manifests: 'none' }, index) }],
  ])('%s is no list of referrers', async (_, fault) => {
    const url = `${given.v2}/${REPOSITORY}/referrers/${image.manifest.digest}`;
    const signature = buildImage({ seed: 'signature', subject: image.manifest });
    given.upstream.push(REPOSITORY, 'signature', signature);
    given.upstream.fault({ kind: 'referrers' }, fault, ALWAYS);
    expectNoGoodBody(await get(url));
    await nothingKept(given, /./, 'referrers');
    given.upstream.clearScript();
    expect(jsonOf(await get(url))).toMatchObject({ manifests: [{ digest: signature.manifest.digest }] });
  });
});

describe('a token that comes as', () => {
  const given = useWorld();

  it.each([
    ['a web page', htmlPage(), /is not JSON/],
    ['JSON without one', jsonReply(200, {}), /has no token/],
    ['one that no header can hold', jsonReply(200, { token: 'a\r\nb' }), /has no token/],
    ['2 MiB', { status: 200, body: Buffer.alloc(2 * 1024 * 1024, '"') }, /longer than 1048576 bytes/],
  ])('%s is none, and is asked for again', async (_, reply, log) => {
    const url = `${given.v2}/${REPOSITORY}/manifests/3`;
    given.upstream.reply({ kind: 'token' }, reply, ALWAYS);
    expectNoGoodBody(await get(url));
    await nothingKept(given, log, 'manifest');
    given.upstream.clearScript();
    expect((await get(url)).body.equals(image.manifest.bytes)).toBe(true);
  });
});

type World = ReturnType<typeof useMirror>;

/** `library/alpine:3` is the image. */
function useWorld(scripted: { readonly cdn?: boolean } = {}): World {
  const given = useMirror({ scripted: { pullLimit: false, ...scripted } });
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));
  return given;
}

function expectNoGoodBody({ status, isCutShort, body }: Response): void {
  expect(isCutShort || status === 502 || status === 503).toBe(true);
  if (!isCutShort) expect(jsonOf({ body })).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] });
}

/** Neither on disk nor in the index. */
async function nothingStored({ mirror }: World): Promise<void> {
  const stored = await readdir(join(mirror.dataDir, 'blobs'), { recursive: true, withFileTypes: true });
  expect(stored.filter((entry) => entry.isFile())).toEqual([]);
  expect(await mirror.metric('entrepot_cache_blobs')).toBe(0);
  expect(await mirror.metric('entrepot_cache_manifests')).toBe(0);
}

/** Not in the spool either; and both the log and the metrics tell. */
async function nothingKept(given: World, log: RegExp, kind: string): Promise<void> {
  await nothingStored(given);
  const { mirror } = given;
  await expect.poll(() => readdir(join(mirror.dataDir, 'spool'))).toEqual([]);
  const complaints = () => mirror.log.filter(({ level }) => level === 'warn' || level === 'error');
  await expect.poll(() => JSON.stringify(complaints())).toMatch(log);
  await expect
    .poll(() => mirror.metric(`entrepot_upstream_rejected_total{kind="${kind}"}`))
    .toBeGreaterThan(0);
}
