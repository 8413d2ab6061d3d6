/** R4 and R6 of what clients need: everybody gets the very bytes that were pushed, whatever he says that he takes. */
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { head, request, type Response } from '../support/http.ts';
import { buildImage, buildIndex, type Content } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const given = useMirror({}, beforeAll);

/** New content in a repository of its own, which the mirror has not seen: what a test asks for is cold. */
function pushNew(repository: string): ReadonlyMap<string, Content> {
  const oci = buildImage({ seed: repository });
  const docker = buildImage({ seed: repository, mediaTypes: 'docker' });
  const images = {
    oci,
    docker,
    index: buildIndex([{ image: oci }]),
    list: buildIndex([{ image: docker }], { mediaTypes: 'docker' }),
  };
  for (const [tag, image] of Object.entries(images)) given.upstream.push(repository, tag, image);
  return new Map([
    ...Object.entries(images).map(([tag, { manifest }]) => [`manifests/${tag}`, manifest] as const),
    ...[oci.config, oci.layers[0]!].map((blob) => [`blobs/${blob.digest}`, blob] as const),
  ]);
}

function expectContent(response: Response, path: string, content: Content): void {
  expect(response.status).toBe(200);
  expect(response.body).toEqual(content.bytes);
  expect(response.headers['content-encoding']).toBeUndefined();
  expect(response.headers.vary).toBeUndefined();
  expect(response.headers).toMatchObject({
    'content-type': path.startsWith('blobs/') ? 'application/octet-stream' : content.mediaType,
    'content-length': String(content.bytes.length),
    'docker-content-digest': content.digest,
  });
}

describe('R4: manifests do not vary by Accept', () => {
  const TYPES = [
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.oci.image.index.v1+json',
  ];
  const ACCEPTS: readonly (readonly [string, string | readonly string[] | undefined])[] = [
    ['no Accept (dockerd, when it looks whether a digest is there)', undefined],
    ['lines in any order (dockerd)', [...TYPES].reverse()],
    ['one line (containerd)', `${TYPES.join(', ')}, */*`],
    ['Docker types alone', TYPES.slice(0, 2)],
    ['OCI types alone', TYPES.slice(2)],
    ['a type that none of them has', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['what a browser sends', 'text/html;q=0.9, */*;q=0.1'],
    ['everything refused', '*/*;q=0'],
    ['an Accept that is empty', ''],
  ];
  const headersWith = (accept: (typeof ACCEPTS)[number][1]): Record<string, string | readonly string[]> =>
    accept === undefined ? {} : { accept };

  it.each(ACCEPTS)('with %s, and upstream hears none of it', async (what, accept) => {
    const repository = `accept/${ACCEPTS.findIndex(([name]) => name === what)}`;
    for (const [path, content] of pushNew(repository)) {
      const response = await request(`${given.v2}/${repository}/${path}`, { headers: headersWith(accept) });
      expectContent(response, path, content);
    }
    const asked = given.upstream.requests.filter(
      (request) => request.kind === 'manifest' && request.repository === repository,
    );
    expect(asked.length).toBeGreaterThan(0);
    for (const { headers } of asked) expect(headers.accept?.split(', ').toSorted()).toEqual(TYPES.toSorted());
  });

  it('and the second client costs upstream nothing, whatever it accepts', async () => {
    const [[path, content] = []] = pushNew('accept/second');
    const url = `${given.v2}/accept/second/${path!}`;
    await request(url, { headers: { accept: TYPES } });
    const cost = given.upstream.requests.length;
    for (const [, accept] of ACCEPTS) {
      expectContent(await request(url, { headers: headersWith(accept) }), path!, content!);
      expect((await head(url, { headers: headersWith(accept) })).status).toBe(200);
    }
    expect(given.upstream.requests).toHaveLength(cost);
  });
});

describe('R6: there is no Content-Encoding', () => {
  it.each([
    ['gzip', 'by-gzip'],
    ['zstd;q=1.0, gzip;q=0.8, deflate;q=0.5', 'as-containerd'],
    ['br', 'by-brotli'],
    ['*', 'by-any'],
    ['identity;q=0, gzip', 'by-anything-else'],
  ])('where a client takes %s, cold and warm', async (encoding, repository) => {
    const options = { headers: { 'accept-encoding': encoding } };
    for (const [path, content] of pushNew(repository)) {
      for (let time = 0; time < 2; time += 1) {
        expectContent(await request(`${given.v2}/${repository}/${path}`, options), path, content);
      }
    }
    for (const path of ['tags/list', 'manifests/none', `referrers/sha256:${'0'.repeat(64)}`]) {
      const response = await request(`${given.v2}/${repository}/${path}`, options);
      expect(response.headers['content-encoding']).toBeUndefined();
      expect(() => JSON.parse(response.body.toString()) as unknown).not.toThrow();
    }
  });

  it('and none is asked of upstream: what it would compress comes as it was pushed', async () => {
    const repository = 'by-upstream';
    given.upstream.fault({ where: ({ method }) => method === 'GET' }, { gzip: true }, 1000);
    const options = { headers: { 'accept-encoding': 'gzip' } };
    for (const [path, content] of pushNew(repository)) {
      expectContent(await request(`${given.v2}/${repository}/${path}`, options), path, content);
    }
    given.upstream.clearScript();
    const accepted = given.upstream.requests.map(({ headers }) => headers['accept-encoding']);
    expect(new Set(accepted)).toEqual(new Set(['identity']));
  });

  it('and the gzip that a layer is made of stays as it is', async () => {
    const [path = ''] = [...pushNew('of-gzip').keys()].slice(-1);
    const { body } = await request(`${given.v2}/of-gzip/${path}`);
    expect(gunzipSync(body).subarray(0, 5).toString()).toBe('data-');
  });
});
