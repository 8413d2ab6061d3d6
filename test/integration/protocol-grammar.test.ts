/** Names, tags and digests by the grammar of the OCI's distribution-spec, and nothing asked of upstream for any other. */
import { beforeAll, describe, expect, it } from 'vitest';
import { get, head, jsonOf, request } from '../support/http.ts';
import { buildImage, buildIndex, descriptorOf } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { parseResponses, RawConnection, sendRaw } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

const D256 = `sha256:${'ab'.repeat(32)}`;
const D512 = `sha512:${'ab'.repeat(64)}`;

describe('a repository may be called', () => {
  const given = useMirror({}, beforeAll);

  it.each([
    'alpine',
    'a',
    '0',
    'a/b/c/d/e/f/g/h/i/j',
    'manifests',
    'blobs',
    'tags',
    'tags/list',
    'referrers',
    'uploads',
    'v2',
    'v2/v2',
    'a/v2/b',
    'team/manifests',
    'team/manifests/latest',
    'team/blobs/uploads',
    'team/blobs/uploads/x',
    'team/tags/list',
    'manifests/blobs/tags/referrers/uploads',
    'a.b_c__d---e/0x/f-g',
    'x/'.repeat(127) + 'x',
  ])('%s', async (name) => {
    const image = buildImage({ seed: name });
    const signature = buildImage({ seed: `signature of ${name}`, subject: image.manifest });
    given.upstream.push(name, 'latest', image);
    given.upstream.push(name, undefined, signature);
    given.upstream.reset();
    for (const reference of ['latest', image.manifest.digest]) {
      const manifest = await get(`${given.v2}/${name}/manifests/${reference}`);
      expect(manifest.body).toEqual(image.manifest.bytes);
    }
    const blob = await get(`${given.v2}/${name}/blobs/${image.config.digest}`);
    expect(blob.body).toEqual(image.config.bytes);
    expect(jsonOf(await get(`${given.v2}/${name}/tags/list`))).toEqual({ name, tags: ['latest'] });
    const referrers = await get(`${given.v2}/${name}/referrers/${image.manifest.digest}`);
    expect(jsonOf(referrers)).toMatchObject({ manifests: [{ digest: signature.manifest.digest }] });
    const asked = given.upstream.requests.filter(({ origin }) => origin === 'registry');
    expect(new Set(asked.map(({ repository }) => repository))).toEqual(new Set([name]));
  });

  it('the same as one that has it as its beginning, and each has its own', async () => {
    const names = ['x', 'x/manifests', 'x/manifests/latest', 'x/blobs'];
    for (const name of names) given.upstream.push(name, 'latest', buildImage({ seed: `nested ${name}` }));
    for (const name of names) {
      const expected = buildImage({ seed: `nested ${name}` }).manifest;
      const response = await get(`${given.v2}/${name}/manifests/latest`);
      expect(response.headers['docker-content-digest']).toBe(expected.digest);
    }
  });

  it('something with tags of every kind', async () => {
    const tags = [
      '1',
      '_',
      'A.B-c_d',
      'latest',
      'v1.2.3-rc.1',
      'x'.repeat(128),
      'list',
      'manifests',
      'sha256-ab',
    ];
    const image = buildImage();
    for (const tag of tags) given.upstream.push('team/tagged', tag, image);
    for (const tag of tags) {
      const response = await head(`${given.v2}/team/tagged/manifests/${tag}`);
      expect(response.headers['docker-content-digest']).toBe(image.manifest.digest);
    }
  });
});

describe('a digest', () => {
  const given = useMirror({}, beforeAll);

  it('may be a sha512, for manifests, children, blobs and referrers', async () => {
    const image = buildImage({ algorithm: 'sha512' });
    const index = buildIndex([{ image }], { algorithm: 'sha512' });
    const signature = buildImage({ algorithm: 'sha512', seed: 'signature', subject: index.manifest });
    given.upstream.push('library/wide', 'latest', index);
    given.upstream.push('library/wide', undefined, signature);
    const base = `${given.v2}/library/wide`;
    // Cold, then warm.
    for (let time = 0; time < 2; time += 1) {
      const byTag = await get(`${base}/manifests/latest`);
      expect(byTag.headers['docker-content-digest']).toBe(index.manifest.digest);
      for (const { digest, bytes } of [index.manifest, image.manifest]) {
        const response = await get(`${base}/manifests/${digest}`);
        expect(response.body).toEqual(bytes);
        expect(response.headers).toMatchObject({ 'docker-content-digest': digest, etag: `"${digest}"` });
      }
      for (const { digest, bytes } of image.blobs) {
        const response = await get(`${base}/blobs/${digest}`);
        expect(response.body).toEqual(bytes);
        expect(response.headers).toMatchObject({ 'docker-content-digest': digest, etag: `"${digest}"` });
      }
      expect(jsonOf(await get(`${base}/referrers/${index.manifest.digest}`))).toMatchObject({
        manifests: [descriptorOf(signature.manifest)],
      });
    }
  });

  it('may come with its colon percent-encoded, as some clients send it', async () => {
    const image = buildImage();
    given.upstream.push('library/encoded', 'latest', image);
    for (const colon of ['%3A', '%3a']) {
      const manifest = image.manifest.digest.replace(':', colon);
      const blob = image.config.digest.replace(':', colon);
      expect((await get(`${given.v2}/library/encoded/manifests/${manifest}`)).body).toEqual(
        image.manifest.bytes,
      );
      expect((await get(`${given.v2}/library/encoded/blobs/${blob}`)).body).toEqual(image.config.bytes);
    }
  });
});

describe('a request that no grammar has', () => {
  const given = useMirror({}, beforeAll);

  it.each([
    ['/v2/Library/alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library/-alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library/alpine-/tags/list', 'NAME_INVALID'],
    ['/v2/library/al..pine/tags/list', 'NAME_INVALID'],
    ['/v2/library/al___pine/tags/list', 'NAME_INVALID'],
    ['/v2/library/al._pine/tags/list', 'NAME_INVALID'],
    ['/v2/_catalog/tags/list', 'NAME_INVALID'],
    ['/v2/library//alpine/manifests/3', 'NAME_INVALID'],
    ['/v2//library/alpine/manifests/3', 'NAME_INVALID'],
    [`/v2/library/alpine//blobs/${D256}`, 'NAME_INVALID'],
    ['/v2/../library/alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library/../alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library/./alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library%2Falpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library%2falpine/manifests/3', 'NAME_INVALID'],
    ['/v2/%2e%2e/%2e%2e/etc/manifests/passwd', 'NAME_INVALID'],
    ['/v2/library/alpine/manifests/%2e%2e%2f%2e%2e%2fpasswd', 'NAME_INVALID'],
    ['/v2/library/alpine%00/manifests/3', 'NAME_INVALID'],
    ['/v2/library/alpine/manifests/3%0d%0aX-Injected:%201', 'NAME_INVALID'],
    ['/v2/library\\alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library/..\\..\\alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/library%5calpine/manifests/3', 'NAME_INVALID'],
    ['/%2e%2e/v2/library/alpine/manifests/3', 'NAME_INVALID'],
    ['/v2/%252e%252e/manifests/3', 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/manifests/3`, 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(200)}a/manifests/3`, 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(2000)}a/manifests/3`, 'NAME_INVALID'],
    [`/${'a/'.repeat(2000)}v2/library/alpine/manifests/3`, 'NAME_INVALID'],
    ['/v2/manifests/3', 'NAME_INVALID'],
    ['/v2/tags/list', 'NAME_INVALID'],
    ['/v2/library/alpine:3/manifests/3', 'NAME_INVALID'],
    ['/v2/library/alpine/manifests/', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/.3', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/-3', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/..', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/3+4', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/3@x', 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/*', 'TAG_INVALID'],
    [`/v2/library/alpine/manifests/${'x'.repeat(129)}`, 'TAG_INVALID'],
    ['/v2/library/alpine/manifests/sha256:totallywrong', 'DIGEST_INVALID'],
    ['/v2/library/alpine/blobs/sha256:baddigeststring', 'DIGEST_INVALID'],
    [`/v2/library/alpine/manifests/${D256.slice(0, -1)}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/manifests/${D256}0`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/manifests/3:${D256}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/manifests/3@${D256}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${D256.replace('ab', 'AB')}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${D256.replace('sha256', 'SHA256')}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${D512.replace('sha512', 'sha256')}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${D256.replace('sha256', 'sha512')}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/sha384:${'ab'.repeat(48)}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/md5:${'ab'.repeat(16)}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${'ab'.repeat(32)}`, 'DIGEST_INVALID'],
    ['/v2/library/alpine/blobs/latest', 'DIGEST_INVALID'],
    ['/v2/library/alpine/blobs/', 'DIGEST_INVALID'],
    ['/v2/library/alpine/referrers/latest', 'DIGEST_INVALID'],
    ['/v2/library/alpine/referrers/sha256:totallywrong', 'DIGEST_INVALID'],
  ])('is a 400, before anything is asked of upstream: %s is %s', async (path, code) => {
    // As bytes: a URL would be made canonical on its way.
    const end = ' HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n';
    const [response] = await sendRaw(given.mirror.url, `GET ${path}?ns=docker.io${end}`);
    expect(response?.status).toBe(400);
    expect(response?.headers['content-type']).toBe('application/json');
    expect(jsonOf({ body: Buffer.from(response!.body) })).toMatchObject({ errors: [{ code }] });
    expect(response?.body.length).toBeLessThan(1000);
    const headed = await sendRaw(given.mirror.url, `HEAD ${path}${end}`);
    expect(headed).toMatchObject([{ status: 400, body: '' }]);
    expect(given.upstream.requests).toEqual([]);
  });

  it.each([
    ['/v2/library/alpine/blobs/uploads/', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['/v2/library/alpine/blobs/uploads/2f1c9a', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['/v2/library/alpine/unheard/of', 404, 'UNSUPPORTED'],
  ])('is none either that asks for what a mirror does not have: %s', async (path, status, code) => {
    expectError(await get(given.mirror.url + path), status, code);
    expectHeadError(await head(given.mirror.url + path), status);
    expect(given.upstream.requests).toEqual([]);
  });

  it('is refused with a body, too, and the connection ends with the answer (conformance suite of the OCI)', async () => {
    const url = `${given.v2}/library/alpine/manifests/sha256:totallywrong`;
    const body = 'a body that nobody asked for';
    const response = await request(url, { body, headers: { 'content-length': String(body.length) } });
    expectError(response, 400, 'DIGEST_INVALID');
    expect(response.headers.connection).toBe('close');
    const chunked = await request(url, { body, headers: { 'transfer-encoding': 'chunked' } });
    expectError(chunked, 400, 'DIGEST_INVALID');
    expect(chunked.headers.connection).toBe('close');
    expect(given.upstream.requests).toEqual([]);
  });

  it('is not smuggled in by the body of another', async () => {
    const hidden = 'GET /v2/library/alpine/manifests/hidden HTTP/1.1\r\nHost: mirror\r\n\r\n';
    const outer = `GET /v2/library/alpine/manifests/sha256:wrong HTTP/1.1\r\nHost: mirror\r\nContent-Length: ${hidden.length}\r\n\r\n`;
    using connection = await RawConnection.open(given.mirror.url);
    connection.send(outer + hidden);
    expect(parseResponses(await connection.toEnd())).toMatchObject([{ status: 400 }]);
    expect(given.upstream.requests).toEqual([]);
  });
});
