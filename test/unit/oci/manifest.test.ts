import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import {
  asReferrer,
  InvalidManifestError,
  linksOf,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseManifest,
  referrersIn,
  withoutParameters,
} from '../../../src/oci/manifest.ts';

const bytesOf = (json: unknown) => Buffer.from(JSON.stringify(json));
const digest = (text: string): Digest => digestOf(Buffer.from(text));
const descriptor = (text: string, mediaType = 'application/x') => ({
  mediaType,
  digest: digest(text),
  size: text.length,
});
const manifest = (json: unknown, mediaType: string = MEDIA_TYPE.ociManifest) =>
  parseManifest(bytesOf(json), mediaType);

const IMAGE = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociManifest,
  config: descriptor('config', 'application/vnd.oci.image.config.v1+json'),
  layers: [descriptor('layer 1'), descriptor('layer 2')],
};
const INDEX = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociIndex,
  manifests: [descriptor('amd64', MEDIA_TYPE.ociManifest), descriptor('arm64', MEDIA_TYPE.ociManifest)],
};

describe('parseManifest', () => {
  it.each([
    [MEDIA_TYPE.ociManifest, IMAGE],
    [MEDIA_TYPE.ociIndex, INDEX],
    [MEDIA_TYPE.dockerManifest, { ...IMAGE, mediaType: MEDIA_TYPE.dockerManifest }],
    [MEDIA_TYPE.dockerList, { ...INDEX, mediaType: MEDIA_TYPE.dockerList }],
    ['application/vnd.docker.distribution.manifest.v1+prettyjws', { schemaVersion: 1, fsLayers: [] }],
    ['application/vnd.example+json', { anything: true }],
  ])('takes %s', (mediaType, json) => {
    const bytes = bytesOf(json);
    expect(parseManifest(bytes, mediaType)).toEqual({
      descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
      bytes,
    });
  });

  it('keeps the bytes as they came, whatever their spaces and order of keys', () => {
    const bytes = Buffer.from(`{ "layers":[],\n\n "schemaVersion":2, "a":"\\u00e9é" }\n`);
    expect(Buffer.compare(parseManifest(bytes, MEDIA_TYPE.ociManifest).bytes, bytes)).toBe(0);
  });

  it('goes by the Content-Type where the manifest names no mediaType, which OCI allows', () => {
    const parsed = parseManifest(bytesOf({ ...INDEX, mediaType: undefined }), MEDIA_TYPE.ociIndex);
    expect(parsed.descriptor.mediaType).toBe(MEDIA_TYPE.ociIndex);
  });

  it.each([
    [`${MEDIA_TYPE.ociManifest}; charset=utf-8`],
    [`${MEDIA_TYPE.ociManifest};charset=utf-8`],
    [` ${MEDIA_TYPE.ociManifest.toUpperCase()} `],
  ])('takes the Content-Type %j without its parameters', (contentType) => {
    expect(parseManifest(bytesOf(IMAGE), contentType).descriptor.mediaType).toBe(MEDIA_TYPE.ociManifest);
  });

  it.each(['sha256', 'sha512'] as const)('checks the digest expected, %s', (algorithm) => {
    const bytes = bytesOf(IMAGE);
    const expected = digestOf(bytes, algorithm);
    expect(parseManifest(bytes, MEDIA_TYPE.ociManifest, expected).descriptor.digest).toBe(expected);
    expect(() => parseManifest(bytesOf(INDEX), MEDIA_TYPE.ociIndex, expected)).toThrow(InvalidManifestError);
  });

  it('takes one of 4 MiB, and none that is larger', () => {
    const padding = 'x'.repeat(MAX_MANIFEST_BYTES - bytesOf({ a: '' }).length);
    expect(manifest({ a: padding }).descriptor.size).toBe(4 * 1024 * 1024);
    expect(() => manifest({ a: `${padding}x` })).toThrow('larger than 4 MiB');
  });
});

describe('parseManifest refuses', () => {
  it.each([
    ['nothing', ''],
    ['HTML', '<html>login</html>'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a text', '"x"'],
    ['a number', '1'],
    ['JSON with something behind it', '{}{}'],
    ['JSON that is cut short', '{"schemaVersion":2'],
  ])('%s', (_, text) => {
    expect(() => parseManifest(Buffer.from(text), MEDIA_TYPE.ociManifest)).toThrow(InvalidManifestError);
  });

  it('bytes that are no UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    expect(() => parseManifest(bytes, MEDIA_TYPE.ociManifest)).toThrow(InvalidManifestError);
  });

  it('says why it is not JSON, as the cause', () => {
    expect(() => parseManifest(Buffer.from('x'), MEDIA_TYPE.ociManifest)).toThrow(
      expect.objectContaining({ cause: expect.any(SyntaxError) as unknown }),
    );
  });

  it.each([
    '',
    'text/html',
    'text/html; charset=utf-8',
    'nonsense',
    'a/b/c',
    'application/',
    '/json',
    'a b/c',
  ])('the Content-Type %j', (contentType) => {
    expect(() => parseManifest(bytesOf({ schemaVersion: 2 }), contentType)).toThrow(InvalidManifestError);
  });

  // CVE-2021-41190: two clients must not read the same digest as two different things.
  it.each([
    ['an index as a manifest', INDEX, MEDIA_TYPE.ociManifest],
    ['a manifest as an index', IMAGE, MEDIA_TYPE.ociIndex],
    ['an OCI manifest as one of Docker', IMAGE, MEDIA_TYPE.dockerManifest],
    ['a manifest as bare JSON', IMAGE, 'application/json'],
    ['a manifest as bytes', IMAGE, 'application/octet-stream'],
    ['a mediaType in other letters', { mediaType: MEDIA_TYPE.ociIndex.toUpperCase() }, MEDIA_TYPE.ociIndex],
    ['a mediaType with parameters', { mediaType: `${MEDIA_TYPE.ociIndex};a=b` }, MEDIA_TYPE.ociIndex],
  ])('%s', (_, json, contentType) => {
    expect(() => parseManifest(bytesOf(json), contentType)).toThrow('but came as Content-Type');
  });

  it('the members of the other kind than its media type', () => {
    expect(() => manifest({ layers: [] }, MEDIA_TYPE.ociIndex)).toThrow('members of the other kind');
    expect(() => manifest({ manifests: [] }, MEDIA_TYPE.dockerManifest)).toThrow('members of the other kind');
  });

  it.each([
    ['layers', { layers: [] }],
    ['a config', { config: descriptor('c') }],
    ['fsLayers', { fsLayers: [] }],
    ['layers that are null', { layers: null }],
  ])('an index that has %s as well', (_, more) => {
    const { mediaType, ...rest } = INDEX;
    expect(() => manifest({ ...INDEX, ...more }, mediaType)).toThrow('both manifests and layers');
    expect(() => manifest({ ...rest, ...more }, mediaType)).toThrow('both manifests and layers');
    expect(() => manifest({ ...rest, ...more }, MEDIA_TYPE.ociManifest)).toThrow('both manifests and layers');
  });
});

describe('linksOf', () => {
  it('a manifest: config and layers, in order', () => {
    expect(linksOf(manifest(IMAGE))).toEqual({
      blobs: [digest('config'), digest('layer 1'), digest('layer 2')],
      manifests: [],
      subject: undefined,
    });
  });

  it('an index: its manifests', () => {
    expect(linksOf(manifest(INDEX, MEDIA_TYPE.ociIndex))).toEqual({
      blobs: [],
      manifests: [digest('amd64'), digest('arm64')],
      subject: undefined,
    });
  });

  it('an artifact: its subject, and blobs of the old artifact manifest', () => {
    const links = linksOf(manifest({ ...IMAGE, subject: descriptor('image'), blobs: [descriptor('sbom')] }));
    expect(links.subject).toBe(digest('image'));
    expect(links.blobs).toContain(digest('sbom'));
  });

  it('an index with a subject', () => {
    const links = linksOf(manifest({ ...INDEX, subject: descriptor('image') }, MEDIA_TYPE.ociIndex));
    expect(links).toMatchObject({ subject: digest('image'), manifests: [digest('amd64'), digest('arm64')] });
  });

  it('names a layer once that an image has twice', () => {
    const layers = [descriptor('same'), descriptor('other'), descriptor('same')];
    expect(linksOf(manifest({ ...IMAGE, layers })).blobs).toEqual([
      digest('config'),
      digest('same'),
      digest('other'),
    ]);
  });

  it.each([
    ['nothing', {}],
    ['the wrong types', { config: 'x', layers: { a: 1 }, blobs: true, subject: [] }],
    ['the wrong type of an index', { manifests: 3 }],
    ['items that are no descriptors', { layers: [null, 1, 'x', [], {}, { digest: 5 }], config: null }],
    ['digests that nobody can verify', { layers: [{ digest: 'md5:x' }, { digest: 'sha256:../..' }] }],
  ])('passes over %s', (_, json) => {
    const mediaType = 'manifests' in json ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest;
    expect(linksOf(manifest(json, mediaType))).toEqual({ blobs: [], manifests: [], subject: undefined });
  });
});

describe('asReferrer', () => {
  const referrer = (json: Record<string, unknown>) => asReferrer(manifest({ ...IMAGE, ...json }));

  it('has the artifactType of the manifest', () => {
    expect(referrer({ artifactType: 'application/spdx+json' }).artifactType).toBe('application/spdx+json');
  });

  it.each([[undefined], [''], [5]])(
    "has its config's mediaType where the artifactType is %j",
    (artifactType) => {
      expect(referrer({ artifactType }).artifactType).toBe('application/vnd.oci.image.config.v1+json');
    },
  );

  it('has none where neither says', () => {
    expect(referrer({ config: undefined })).not.toHaveProperty('artifactType');
    expect(referrer({ config: { mediaType: '' } })).not.toHaveProperty('artifactType');
  });

  it('has the annotations of the manifest and its descriptor', () => {
    const json = { ...IMAGE, annotations: { 'org.example': 'x' } };
    const parsed = manifest(json);
    expect(asReferrer(parsed)).toMatchObject({ ...parsed.descriptor, annotations: { 'org.example': 'x' } });
    expect(referrer({})).not.toHaveProperty('annotations');
    expect(referrer({ annotations: ['x'] })).not.toHaveProperty('annotations');
  });
});

describe('referrersIn', () => {
  it('gives the descriptors of an index', () => {
    const manifests = [{ ...descriptor('a'), artifactType: 't', annotations: { k: 'v' } }, descriptor('b')];
    expect(referrersIn({ manifests })).toEqual(manifests);
  });

  it('gives none of an index that has none', () => {
    expect(referrersIn({ manifests: [] })).toEqual([]);
    expect(referrersIn({ manifests: null })).toEqual([]);
  });

  it.each([null, undefined, 'x', [], {}, { manifests: {} }, { errors: [] }])(
    'takes %j for no index',
    (index) => {
      expect(referrersIn(index)).toBeUndefined();
    },
  );

  it('gives of a referrer what it may have, and of annotations those that are texts', () => {
    const entry = { ...descriptor('a'), artifactType: ['t'], annotations: { k: 'v', deep: [[]] }, more: {} };
    expect(referrersIn({ manifests: [entry] })).toEqual([{ ...descriptor('a'), annotations: { k: 'v' } }]);
  });

  it('leaves out what is no descriptor', () => {
    const good = descriptor('good');
    const bad = [
      null,
      {},
      { ...good, digest: 'sha256:x' },
      { ...good, digest: 7 },
      { ...good, size: 'x' },
      { ...good, size: 1.5 },
      { ...good, mediaType: undefined },
    ];
    expect(referrersIn({ manifests: [...bad, good] })).toEqual([good]);
  });
});

describe('withoutParameters', () => {
  it.each([
    ['application/json; charset=utf-8', 'application/json'],
    ['Application/JSON ;a=b;c=d', 'application/json'],
    ['application/json', 'application/json'],
    ['', ''],
    [';x', ''],
  ])('of %j is %j', (contentType, bare) => {
    expect(withoutParameters(contentType)).toBe(bare);
  });
});
