/** R3 of what clients need: an ETag is good for asking whether anything has changed, and whether a part still fits. */
import { beforeEach, describe, expect, it } from 'vitest';
import { request } from '../support/http.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const old = buildImage({ seed: 'old' });
const fresh = buildImage({ seed: 'fresh' });
const index = buildIndex([{ image: old }]);
const { digest } = old.manifest;
const layer = old.layers[0]!;
const OTHER = `"sha256:${'1'.repeat(64)}"`;

/** What names a content, in the ways of different clients. */
const matching = (of: string): [string, string][] => [
  ['quoted', `"${of}"`],
  ['weak', `W/"${of}"`],
  ['without quotes', of],
  ['in a list', `${OTHER}, W/"x", "${of}"`],
  ['in a list without spaces', `${OTHER},"${of}"`],
  ['any', '*'],
];

const given = useMirror({ env: { ENTREPOT_TAG_TTL: '0' } });

beforeEach(() => {
  given.upstream.push('library/alpine', '3', old);
  given.upstream.push('library/alpine', 'index', index);
});

const ask = (path: string, headers: Record<string, string>, method = 'GET') =>
  request(`${given.v2}/library/alpine/${path}`, { headers, method });

describe('R3: If-None-Match', () => {
  for (const [what, path, of] of [
    ['a manifest by tag', 'manifests/3', digest],
    ['a manifest by digest', `manifests/${digest}`, digest],
    ['a blob', `blobs/${layer.digest}`, layer.digest],
  ] as const) {
    it(`names ${what} in any way: 304 without a body, to GET and HEAD, cold and warm`, async () => {
      for (const [how, header] of matching(of)) {
        for (const method of ['GET', 'HEAD', 'GET']) {
          const response = await ask(path, { 'if-none-match': header }, method);
          expect({ how, method, status: response.status }).toEqual({ how, method, status: 304 });
          expect(response.body).toHaveLength(0);
          expect(response.headers).toMatchObject({
            etag: `"${of}"`,
            'docker-content-digest': of,
            'docker-distribution-api-version': 'registry/2.0',
          });
          expect(response.headers['content-length']).toBeUndefined();
          expect(response.headers['content-type']).toBeUndefined();
        }
        expect((await ask(path, {})).status).toBe(200);
      }
    });

    it(`names something else than ${what}, or nothing at all: all of it is sent`, async () => {
      for (const header of [OTHER, `"${of}`, `"${of.slice(0, -1)}"`, `"${of}0"`, '""', '', 'W/']) {
        const response = await ask(path, { 'if-none-match': header });
        expect({ header, status: response.status }).toEqual({ header, status: 200 });
        expect(response.headers['docker-content-digest']).toBe(of);
        expect(response.body.length).toBeGreaterThan(0);
      }
    });
  }

  it('is answered 304 by a tag that upstream has just shown to be where it was, for the price of a HEAD', async () => {
    await ask('manifests/3', {});
    given.upstream.reset();
    expect((await ask('manifests/3', { 'if-none-match': `"${digest}"` })).status).toBe(304);
    expect(given.upstream.requests.map(({ method, kind }) => `${method} ${kind}`)).toEqual(['HEAD manifest']);
  });

  it('is answered with the new manifest by a tag that has moved', async () => {
    await ask('manifests/3', {});
    given.upstream.push('library/alpine', '3', fresh);
    for (const method of ['HEAD', 'GET']) {
      const response = await ask('manifests/3', { 'if-none-match': `"${digest}"` }, method);
      expect(response.status).toBe(200);
      expect(response.headers['docker-content-digest']).toBe(fresh.manifest.digest);
    }
  });

  it('downloads no blob to say that it is the same, however cold', async () => {
    expect((await ask(`blobs/${layer.digest}`, { 'if-none-match': `"${layer.digest}"` })).status).toBe(304);
    expect(given.upstream.count({ kind: 'blob', method: 'HEAD', status: 200 })).toBe(1);
    expect(given.upstream.count({ kind: 'blob', method: 'GET' })).toBe(0);
  });

  it('of something that is not there is a 404, even for *', async () => {
    const missing = `sha256:${'2'.repeat(64)}`;
    for (const path of ['manifests/none', `manifests/${missing}`, `blobs/${missing}`]) {
      expect((await ask(path, { 'if-none-match': '*' })).status).toBe(404);
    }
  });

  it('goes before Range (RFC 9110, section 13.2.2)', async () => {
    const headers = { 'if-none-match': `"${layer.digest}"`, range: 'bytes=0-9' };
    expect((await ask(`blobs/${layer.digest}`, headers)).status).toBe(304);
  });
});

describe('R3: If-Range', () => {
  const path = `blobs/${layer.digest}`;

  it('with the ETag gets the part, cold and warm', async () => {
    for (const condition of [`"${layer.digest}"`, layer.digest]) {
      const response = await ask(path, { 'if-range': condition, range: 'bytes=10-19' });
      expect({ condition, status: response.status }).toEqual({ condition, status: 206 });
      expect(response.body).toEqual(layer.bytes.subarray(10, 20));
    }
  });

  it('with anything else gets the whole', async () => {
    const conditions = [
      OTHER,
      // No proof that bytes are the same (RFC 9110, section 13.1.5).
      `W/"${layer.digest}"`,
      'Wed, 21 Oct 2015 07:28:00 GMT',
      `${OTHER}, "${layer.digest}"`,
      '*',
    ];
    for (const condition of conditions) {
      const response = await ask(path, { 'if-range': condition, range: 'bytes=10-19' });
      expect({ condition, status: response.status }).toEqual({ condition, status: 200 });
      expect(response.headers['content-range']).toBeUndefined();
      expect(response.body).toEqual(layer.bytes);
    }
  });
});
