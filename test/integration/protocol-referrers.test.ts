/** referrers: what points to a manifest, whether upstream has the API, only the tag schema before it, or is away. */
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { get, head, jsonOf, type Response } from '../support/http.ts';
import { buildImage, buildIndex, descriptorOf, type Image } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { errorReply, htmlPage } from '../support/scripted-upstream-reply.ts';
import type { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const MINUTE = 60_000;
const REPOSITORY = 'library/alpine';
const SIGNATURE = 'application/vnd.test.signature';
const SBOM = 'application/vnd.test.sbom+json';
const UNKNOWN_DIGEST = `sha256:${'0'.repeat(64)}`;

const image = buildImage();
const subject = image.manifest;
const referrer = (seed: string, artifactType: string): Image =>
  buildImage({ seed, subject, artifactType, annotations: { seed } });
const signatures = [referrer('signature 1', SIGNATURE), referrer('signature 2', SIGNATURE)];
const sbom = referrer('sbom', SBOM);
const all = [...signatures, sbom];

const entryOf = (image: Image, artifactType: string, seed: string) => ({
  ...descriptorOf(image.manifest),
  artifactType,
  annotations: { seed },
});

function push(upstream: ScriptedUpstream, referrers: readonly Image[] = all): void {
  upstream.push(REPOSITORY, '3', image);
  for (const referrer of referrers) upstream.push(REPOSITORY, undefined, referrer);
}

interface Index {
  readonly manifests: readonly { readonly digest: string }[];
}

const digestsIn = (response: Response) =>
  (jsonOf(response) as Index).manifests.map(({ digest }) => digest).toSorted();
const digestsOf = (images: readonly Image[]) => images.map(({ manifest }) => manifest.digest).toSorted();

function expectIndex(response: Response, images: readonly Image[]): void {
  expect(response.status).toBe(200);
  expect(response.headers['content-type']).toBe(MEDIA_TYPE.ociIndex);
  expect(response.headers['content-length']).toBe(String(response.body.length));
  expect(jsonOf(response)).toMatchObject({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex });
  expect(digestsIn(response)).toEqual(digestsOf(images));
}

describe('referrers of an upstream that has the API', () => {
  let now = 0;
  const given = useMirror({ now: () => now });
  const list = (query = '', digest: string = subject.digest) =>
    get(`${given.v2}/${REPOSITORY}/referrers/${digest}${query}`);

  beforeEach(() => {
    now = Date.UTC(2026, 0, 1);
    push(given.upstream);
  });

  it('are an index of all that point to the manifest, with what is said of each', async () => {
    const response = await list();
    expectIndex(response, all);
    expect((jsonOf(response) as Index).manifests).toContainEqual(entryOf(sbom, SBOM, 'sbom'));
    expect(response.headers['oci-filters-applied']).toBeUndefined();
    const headed = await head(`${given.v2}/${REPOSITORY}/referrers/${subject.digest}`);
    expect([headed.status, headed.body.length]).toEqual([200, 0]);
    expect(headed.headers['content-length']).toBe(response.headers['content-length']);
    expect(headed.headers['content-type']).toBe(MEDIA_TYPE.ociIndex);
  });

  it.each([
    [SIGNATURE, signatures],
    [SBOM, [sbom]],
    ['application/unheard-of', []],
    ['', []],
  ] as const)(
    'of the type %j alone are asked for, and the answer says that it is filtered',
    async (type, images) => {
      const response = await list(`?artifactType=${encodeURIComponent(type)}`);
      expectIndex(response, images);
      expect(response.headers['oci-filters-applied']).toBe('artifactType');
    },
  );

  it('of a type with a plus are found whether or not the client encodes it', async () => {
    expectIndex(await list('?artifactType=application/vnd.test.sbom+json'), [sbom]);
    expectIndex(await list('?artifactType=application%2Fvnd.test.sbom%2Bjson'), [sbom]);
  });

  it('are an empty index for what has none, or is not there at all', async () => {
    expectIndex(await list('', sbom.manifest.digest), []);
    expectIndex(await list('', UNKNOWN_DIGEST), []);
    expectIndex(await list('', `sha512:${'0'.repeat(128)}`), []);
  });

  it.each(['latest', 'sha256:totallywrong', `sha384:${'0'.repeat(96)}`])(
    'of %s are a 400',
    async (digest) => {
      expectError(await list('', digest), 400, 'DIGEST_INVALID');
      expectHeadError(await head(`${given.v2}/${REPOSITORY}/referrers/${digest}`), 400);
      expect(given.upstream.requests).toEqual([]);
    },
  );

  it('are asked for once within the TTL, whatever the filter, and none at all too', async () => {
    const gate = given.upstream.hold({ kind: 'referrers' }, { times: 2 });
    const filters = Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0 ? '' : `?artifactType=${SIGNATURE}`,
    );
    const answers = filters.flatMap((filter) => [list(filter), list(filter, UNKNOWN_DIGEST)]);
    await gate.arrived(2);
    gate.release();
    for (const response of await Promise.all(answers)) expect(response.status).toBe(200);
    now += MINUTE - 1;
    expectIndex(await list(), all);
    expectIndex(await list('', UNKNOWN_DIGEST), []);
    expect(given.upstream.count({ kind: 'referrers', status: 200 })).toBe(2);
    expect(given.upstream.requests.every(({ query }) => !query.has('artifactType'))).toBe(true);
  });

  it('are asked for again after the TTL', async () => {
    await list();
    const late = referrer('late', SIGNATURE);
    given.upstream.push(REPOSITORY, undefined, late);
    expectIndex(await list(), all);
    now += MINUTE;
    expectIndex(await list(), [...all, late]);
  });

  it('are pulled as any manifest is', async () => {
    const [digest = ''] = digestsIn(await list(`?artifactType=${SBOM}`));
    const response = await get(`${given.v2}/${REPOSITORY}/manifests/${digest}`);
    expect(response.body).toEqual(sbom.manifest.bytes);
  });

  it('are the last list while upstream is away', async () => {
    await list();
    await given.upstream.stop();
    now += MINUTE;
    expectIndex(await list(), all);
  });

  it('are those that were pulled, while upstream is away and was not asked before', async () => {
    for (const { manifest } of [image, sbom]) {
      expect((await get(`${given.v2}/${REPOSITORY}/manifests/${manifest.digest}`)).status).toBe(200);
    }
    await given.upstream.stop();
    const response = await list();
    expectIndex(response, [sbom]);
    expect((jsonOf(response) as Index).manifests).toEqual([entryOf(sbom, SBOM, 'sbom')]);
    expectIndex(await list(`?artifactType=${SIGNATURE}`), []);
    await given.upstream.restart();
    now += 60_000;
    expectIndex(await list(), all);
  });

  it('are none for a manifest that is here, so that dockerd goes on with its pull while upstream is away', async () => {
    await get(`${given.v2}/${REPOSITORY}/manifests/3`);
    await given.upstream.stop();
    expectIndex(await list(), []);
  });

  it('are a 503 for a manifest that nobody knows, while upstream is away', async () => {
    await given.upstream.stop();
    expectError(await list(), 503, 'UNAVAILABLE');
  });
});

describe('referrers of an upstream that sends them in pages', () => {
  for (const links of ['relative', 'absolute'] as const) {
    describe(`with ${links} links`, () => {
      const given = useMirror({ scripted: { referrersPageSize: 2, links } });

      it('are one index', async () => {
        push(given.upstream);
        const response = await get(`${given.v2}/${REPOSITORY}/referrers/${subject.digest}`);
        expectIndex(response, all);
        expect(response.headers.link).toBeUndefined();
        expect(given.upstream.count({ kind: 'referrers', status: 200 })).toBe(2);
      });
    });
  }
});

describe('referrers of an upstream that does not have the API', () => {
  const given = useMirror({ scripted: { referrersApi: false } });
  const list = (query = '', digest: string = subject.digest) =>
    get(`${given.v2}/${REPOSITORY}/referrers/${digest}${query}`);

  /** As a client pushes them there (distribution-spec v1.1.1, "Referrers Tag Schema"). */
  function pushBySchema(of: Image, images: readonly Image[]): void {
    push(given.upstream, images);
    given.upstream.push(REPOSITORY, undefined, of);
    const [algorithm = '', hex = ''] = of.manifest.digest.split(':');
    const index = buildIndex(images.map((image) => ({ image })));
    const json = JSON.parse(Buffer.from(index.manifest.bytes).toString()) as { manifests: object[] };
    json.manifests = images.map((image) => ({
      ...descriptorOf(image.manifest),
      artifactType: typeOf(image),
    }));
    const bytes = Buffer.from(JSON.stringify(json));
    const manifest = { ...index.manifest, bytes, digest: digestOf(bytes) };
    given.upstream.push(REPOSITORY, `${algorithm}-${hex.slice(0, 64)}`, { ...index, manifest });
  }

  it('are the index under the tag that is made of the digest, filtered here', async () => {
    pushBySchema(image, all);
    expectIndex(await list(), all);
    const filtered = await list(`?artifactType=${SIGNATURE}`);
    expectIndex(filtered, signatures);
    expect(filtered.headers['oci-filters-applied']).toBe('artifactType');
    expect(given.upstream.count({ kind: 'referrers', status: 404 })).toBe(1);
    expect(given.upstream.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
  });

  it('are found for a sha512 under a tag of its first 64 digits', async () => {
    const wide = buildImage({ seed: 'wide', algorithm: 'sha512' });
    pushBySchema(wide, [sbom]);
    expectIndex(await list('', wide.manifest.digest), [sbom]);
  });

  it('are none where there is no such tag, and that is remembered', async () => {
    push(given.upstream, []);
    for (let time = 0; time < 3; time += 1) expectIndex(await list(), []);
    expect(given.upstream.count({ kind: 'referrers', status: 404 })).toBe(1);
    expect(given.upstream.count({ kind: 'manifest', status: 404 })).toBe(1);
  });

  it('are a 502 where that tag has no manifest but a page', async () => {
    pushBySchema(image, all);
    given.upstream.reply({ kind: 'manifest' }, htmlPage(), 2);
    expectError(await list(), 502, 'UNAVAILABLE');
    expectIndex(await list(), all);
  });

  it('are a 429 where the tag can not be read for now', async () => {
    pushBySchema(image, all);
    given.upstream.reply(
      { kind: 'manifest' },
      errorReply(429, 'TOOMANYREQUESTS', 'no', { 'retry-after': '7' }),
    );
    const response = await list();
    expectError(response, 429, 'TOOMANYREQUESTS');
    expect(response.headers['retry-after']).toBe('7');
  });
});

describe('referrers of an upstream that answers with something else', () => {
  const given = useMirror();
  const list = () => get(`${given.v2}/${REPOSITORY}/referrers/${subject.digest}`);
  beforeEach(() => push(given.upstream));

  it.each([
    ['a login page (pkg.dev)', htmlPage()],
    ['401 (ghcr.io)', errorReply(401, 'UNAUTHORIZED')],
    ['403', errorReply(403, 'DENIED')],
    ['405', errorReply(405, 'UNSUPPORTED')],
  ])('as %s are looked for by the tag schema', async (_, reply) => {
    given.upstream.reply({ kind: 'referrers', status: 200 }, reply, 2);
    expectIndex(await list(), []);
    const tag = subject.digest.replace(':', '-');
    expect(given.upstream.count({ kind: 'manifest', reference: tag, status: 404 })).toBe(1);
  });

  it('with entries that are no descriptors are those that are', async () => {
    const good = descriptorOf(sbom.manifest);
    const manifests = [good, null, 7, {}, { ...good, digest: 'sha256:x' }, { ...good, size: 'large' }];
    given.upstream.reply(
      { kind: 'referrers', status: 200 },
      {
        status: 200,
        headers: { 'content-type': MEDIA_TYPE.ociIndex },
        body: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })),
      },
    );
    expectIndex(await list(), [sbom]);
  });
});

function typeOf(image: Image): string {
  return (JSON.parse(Buffer.from(image.manifest.bytes).toString()) as { artifactType: string }).artifactType;
}
