/** R3 of what clients need: the same exact headers on HEAD and GET, cold and warm. */
import { beforeEach, describe, expect, it } from 'vitest';
import { request, type Response } from '../support/http.ts';
import { buildImage, buildIndex, type Content } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const image = buildImage();
const index = buildIndex([{ image, platform: { os: 'linux', architecture: 'amd64' } }]);
const docker = buildImage({ mediaTypes: 'docker', seed: 'docker' });
const list = buildIndex([{ image: docker }], { mediaTypes: 'docker' });
const wide = buildImage({ algorithm: 'sha512', seed: 'sha512' });

interface Item {
  readonly what: string;
  readonly path: string;
  readonly content: Content;
  readonly mediaType?: string;
}

const OCTETS = 'application/octet-stream';
const ITEMS: readonly Item[] = [
  { what: 'an OCI manifest by tag', path: 'manifests/oci', content: image.manifest },
  { what: 'an OCI manifest by digest', path: `manifests/${image.manifest.digest}`, content: image.manifest },
  { what: 'an OCI index by tag', path: 'manifests/index', content: index.manifest },
  { what: 'an OCI index by digest', path: `manifests/${index.manifest.digest}`, content: index.manifest },
  { what: 'a Docker manifest by tag', path: 'manifests/docker', content: docker.manifest },
  { what: 'a Docker manifest list by tag', path: 'manifests/list', content: list.manifest },
  { what: 'a manifest with a sha512 by tag', path: 'manifests/wide', content: wide.manifest },
  { what: 'a manifest by its sha512', path: `manifests/${wide.manifest.digest}`, content: wide.manifest },
  { what: 'a config', path: `blobs/${image.config.digest}`, content: image.config, mediaType: OCTETS },
  { what: 'a layer', path: `blobs/${image.layers[0]!.digest}`, content: image.layers[0]!, mediaType: OCTETS },
  {
    what: 'a layer by its sha512',
    path: `blobs/${wide.layers[0]!.digest}`,
    content: wide.layers[0]!,
    mediaType: OCTETS,
  },
];

const given = useMirror();

beforeEach(() => {
  const images = { oci: image, index, docker, list, wide };
  for (const [tag, pushable] of Object.entries(images)) given.upstream.push('library/alpine', tag, pushable);
});

const ask = (path: string, options: Parameters<typeof request>[1] = {}) =>
  request(`${given.v2}/library/alpine/${path}`, options);

/** All but what is about the connection and the hour. */
function headersOf({ headers }: Response): Record<string, unknown> {
  const { date: _date, connection: _connection, ...rest } = headers;
  return rest;
}

function expectedHeaders({ path, content, mediaType }: Item): Record<string, unknown> {
  return {
    'content-type': mediaType ?? content.mediaType,
    'content-length': String(content.bytes.length),
    'docker-content-digest': content.digest,
    etag: `"${content.digest}"`,
    'docker-distribution-api-version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    ...(path.startsWith('blobs/') ? { 'accept-ranges': 'bytes' } : {}),
  };
}

describe('R3: the headers of HEAD and GET', () => {
  it.each(ITEMS)('are the very same for $what, cold and warm', async (item) => {
    const cold = await ask(item.path, { method: 'HEAD' });
    const fetched = await ask(item.path);
    const warm = await ask(item.path, { method: 'HEAD' });
    const cached = await ask(item.path);
    for (const response of [cold, fetched, warm, cached]) {
      expect(response.status).toBe(200);
      expect(headersOf(response)).toEqual(expectedHeaders(item));
      const names = response.rawHeaders.map(([name]) => name.toLowerCase());
      expect(new Set(names).size).toBe(names.length);
    }
    expect([cold.body.length, warm.body.length]).toEqual([0, 0]);
    expect(fetched.body).toEqual(item.content.bytes);
    expect(cached.body).toEqual(item.content.bytes);
  });

  it('are the same where a GET comes first', async () => {
    for (const item of ITEMS) expect(headersOf(await ask(item.path))).toEqual(expectedHeaders(item));
  });

  it('have the Content-Type without the parameters that upstream gives it', async () => {
    const type = `${image.manifest.mediaType}; charset=utf-8`;
    given.upstream.fault({ kind: 'manifest' }, { headers: { 'content-type': type } }, 2);
    for (const method of ['HEAD', 'GET', 'HEAD']) {
      const response = await ask('manifests/oci', { method });
      expect(response.headers['content-type']).toBe(image.manifest.mediaType);
    }
  });

  it('have a digest and a length where upstream sends neither', async () => {
    const headers = { 'docker-content-digest': undefined, 'content-length': undefined, etag: undefined };
    given.upstream.fault({ kind: 'manifest' }, { headers }, 4);
    expect(headersOf(await ask('manifests/oci', { method: 'HEAD' }))).toEqual(expectedHeaders(ITEMS[0]!));
    expect(headersOf(await ask('manifests/oci'))).toEqual(expectedHeaders(ITEMS[0]!));
  });

  it('have nothing of what upstream says of itself', async () => {
    const foreign = {
      'set-cookie': 'session=1',
      'docker-ratelimit-source': '192.0.2.1',
      server: 'nginx',
      via: '1.1 cdn',
      'x-amz-request-id': 'x',
    };
    given.upstream.fault({ kind: 'manifest' }, { headers: foreign }, 2);
    given.upstream.fault({ kind: 'cdn' }, { headers: foreign });
    for (const item of [ITEMS[0]!, ITEMS[9]!]) {
      expect(headersOf(await ask(item.path))).toEqual(expectedHeaders(item));
    }
  });
});
