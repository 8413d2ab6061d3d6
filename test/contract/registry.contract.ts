/**
 * What a registry does on the wire, as far as a pull-through client relies on it: held against the scripted upstream
 * and against a real registry, so that a test on the double is worth something.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { request, jsonOf, type RequestOptions, type Response } from '../support/http.ts';
import {
  buildImage,
  buildIndex,
  descriptorOf,
  randomBytes,
  type Content,
  type Pushable,
} from '../support/images.ts';

export interface RegistryHarness extends AsyncDisposable {
  readonly url: string;
  push(repository: string, tag: string, image: Pushable): Promise<void>;
}

/** Where registries differ, and a client has to live with either. */
export interface RegistryTraits {
  /** Whether tags/list heeds `n` and `last`: Distribution does since 3.0. */
  readonly pagesTags: boolean;
  /** Whether there is a referrers API: Distribution has none. */
  readonly hasReferrers: boolean;
}

const ACCEPT = Object.values(MEDIA_TYPE).join(', ');
const UNKNOWN_DIGEST = `sha256:${'0'.repeat(64)}`;
const REPOSITORY = 'team/manifests/app';
const TAGS = ['1', '2.0', '2.1', 'Edge', 'latest'];

export function registryContract(
  name: string,
  open: () => Promise<RegistryHarness>,
  traits: RegistryTraits,
): void {
  describe(`the registry contract of ${name}`, () => {
    const image = buildImage({ seed: 'contract', layers: [randomBytes('contract', 5000)] });
    const other = buildImage({ seed: 'other', mediaTypes: 'docker', architecture: 'arm64' });
    const index = buildIndex([
      { image, platform: { os: 'linux', architecture: 'amd64' } },
      { image: other, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    const signature = buildImage({
      seed: 'signature',
      layers: 1,
      subject: image.manifest,
      artifactType: 'application/vnd.test.signature',
    });
    const layer = image.layers[0]!;
    let registry: RegistryHarness;

    const ask = (path: string, options?: RequestOptions) => pull(`${registry.url}/v2/${path}`, options);
    const manifest = (reference: string, options: RequestOptions = {}) =>
      ask(`${REPOSITORY}/manifests/${reference}`, {
        ...options,
        headers: { accept: ACCEPT, ...options.headers },
      });
    const blob = (digest: string, options?: RequestOptions) => ask(`${REPOSITORY}/blobs/${digest}`, options);

    beforeAll(async () => {
      registry = await open();
      for (const tag of TAGS) await registry.push(REPOSITORY, tag, image);
      await registry.push(REPOSITORY, 'multi', index);
      await registry.push(REPOSITORY, 'signature', signature);
      await registry.push('team/other', 'latest', other);
    });
    afterAll(() => registry[Symbol.asyncDispose]());

    it('answers the ping', async () => {
      const response = await ask('');
      expect(response.status).toBe(200);
      expect(response.headers['docker-distribution-api-version']).toBe('registry/2.0');
    });

    describe('manifests', () => {
      it.each([
        ['an OCI manifest', 'latest', image.manifest],
        ['an OCI index', 'multi', index.manifest],
        ['a Docker manifest', other.manifest.digest, other.manifest],
      ])(
        'gives %s by tag and by digest, byte for byte, with the headers of both',
        async (_, tag, content) => {
          for (const reference of [tag, content.digest]) {
            const response = await manifest(reference);
            expect(response.status).toBe(200);
            expect(response.body).toEqual(Buffer.from(content.bytes));
            expectManifestHeaders(response, content);
          }
        },
      );

      it('answers a HEAD with the headers of the GET and no body', async () => {
        for (const reference of ['latest', image.manifest.digest]) {
          const response = await manifest(reference, { method: 'HEAD' });
          expect(response.status).toBe(200);
          expect(response.body).toHaveLength(0);
          expectManifestHeaders(response, image.manifest);
        }
      });

      it('follows a tag that moves', async () => {
        await registry.push(REPOSITORY, 'moving', image);
        await registry.push(REPOSITORY, 'moving', signature);
        const response = await manifest('moving', { method: 'HEAD' });
        expect(response.headers['docker-content-digest']).toBe(signature.manifest.digest);
      });

      it('answers 304 to the ETag that it gave', async () => {
        const { headers } = await manifest('latest');
        const response = await manifest('latest', { headers: { 'if-none-match': headers.etag ?? '' } });
        expect(response.status).toBe(304);
        expect(response.body).toHaveLength(0);
      });

      it('hides an OCI manifest from a client that does not accept its type', async () => {
        for (const accept of [MEDIA_TYPE.dockerManifest, '*/*']) {
          const response = await manifest('latest', { headers: { accept } });
          expectError(response, 404, ['MANIFEST_UNKNOWN']);
        }
      });

      it('answers 404 MANIFEST_UNKNOWN to a tag and a digest that it does not know', async () => {
        for (const reference of ['unknown', UNKNOWN_DIGEST]) {
          expectError(await manifest(reference), 404, ['MANIFEST_UNKNOWN']);
          const response = await manifest(reference, { method: 'HEAD' });
          expect(response.status).toBe(404);
          expect(response.body).toHaveLength(0);
        }
      });
    });

    describe('blobs', () => {
      it('gives a config and a layer, byte for byte', async () => {
        for (const content of image.blobs) {
          const response = await blob(content.digest);
          expect(response.status).toBe(200);
          expect(response.body).toEqual(Buffer.from(content.bytes));
          expect(response.headers['content-length']).toBe(String(content.bytes.length));
          expect(response.headers['content-type']).toBe('application/octet-stream');
          expect(response.headers['content-encoding']).toBeUndefined();
        }
      });

      it('answers a HEAD itself, with length and digest', async () => {
        const response = await blob(layer.digest, { method: 'HEAD' });
        expect(response.status).toBe(200);
        expect(response.body).toHaveLength(0);
        expect(response.headers).toMatchObject({
          'content-length': '5000',
          'content-type': 'application/octet-stream',
          'docker-content-digest': layer.digest,
        });
      });

      it.each([
        ['a closed range', '500-1499', 500, 1500],
        ['an open range', '500-', 500, 5000],
        ['all as an open range', '0-', 0, 5000],
        ['a suffix', '-500', 4500, 5000],
        ['a suffix that is longer than the blob', '-6000', 0, 5000],
        ['a range that ends past the blob', '4000-9999', 4000, 5000],
        ['the last byte', '4999-4999', 4999, 5000],
      ])('answers %s with 206 and exactly that', async (_, range, start, end) => {
        const response = await blob(layer.digest, { range });
        expect(response.status).toBe(206);
        expect(response.headers['content-range']).toBe(`bytes ${start}-${end - 1}/5000`);
        expect(response.headers['content-length']).toBe(String(end - start));
        expect(response.body).toEqual(Buffer.from(layer.bytes.subarray(start, end)));
      });

      it('answers a range behind the end with 416 and the size', async () => {
        const response = await blob(layer.digest, { range: '5000-' });
        expect(response.status).toBe(416);
        expect(response.headers['content-range']).toBe('bytes */5000');
      });

      it('answers a backward range with 416', async () => {
        expect((await blob(layer.digest, { range: '500-0' })).status).toBe(416);
      });

      it('answers 404 BLOB_UNKNOWN to a digest that it does not know', async () => {
        expectError(await blob(UNKNOWN_DIGEST), 404, ['BLOB_UNKNOWN']);
        const response = await blob(UNKNOWN_DIGEST, { method: 'HEAD' });
        expect(response.status).toBe(404);
        expect(response.body).toHaveLength(0);
      });

      it('gives no blob in a repository that does not have it', async () => {
        expectError(await ask(`team/other/blobs/${layer.digest}`), 404, ['BLOB_UNKNOWN']);
      });

      it('answers 400 DIGEST_INVALID to what is no digest', async () => {
        expectError(await blob('sha256:0000'), 400, ['DIGEST_INVALID']);
      });
    });

    describe('tags', () => {
      const list = async (query: string) => {
        const response = await ask(`${REPOSITORY}/tags/list${query}`);
        expect(response.status).toBe(200);
        expect(mediaTypeOf(response)).toBe('application/json');
        return { ...(jsonOf(response) as { name: string; tags: string[] }), link: response.headers['link'] };
      };

      it('lists them all', async () => {
        const { name: repository, tags } = await list('');
        expect(repository).toBe(REPOSITORY);
        expect(tags).toEqual(expect.arrayContaining([...TAGS, 'multi', 'signature']));
      });

      if (traits.pagesTags) {
        it('gives them in lexical order, in pages of n, with a Link to the next', async () => {
          const all = (await list('')).tags;
          expect(all).toEqual([...all].sort());
          const first = await list('?n=3');
          expect(first.tags).toEqual(all.slice(0, 3));
          const next = new URL(/^<(.+)>; ?rel="next"$/.exec(String(first.link))?.[1] ?? '', registry.url);
          expect(next.pathname).toBe(`/v2/${REPOSITORY}/tags/list`);
          expect((await list(next.search)).tags).toEqual(all.slice(3, 6));
        });

        it('goes on behind `last`, without a Link on the last page', async () => {
          const all = (await list('')).tags;
          const rest = await list(`?n=100&last=${all[1] ?? ''}`);
          expect(rest.tags).toEqual(all.slice(2));
          expect(rest.link).toBeUndefined();
          expect((await list('?last=zzz')).tags).toEqual([]);
        });

        it('gives nothing and no Link for n=0', async () => {
          expect(await list('?n=0')).toEqual({ name: REPOSITORY, tags: [], link: undefined });
        });
      } else {
        it('gives them all, whatever n and last, and never a Link', async () => {
          const { tags, link } = await list('?n=1&last=2.0');
          expect(tags).toEqual(expect.arrayContaining(TAGS));
          expect(link).toBeUndefined();
        });
      }
    });

    describe('referrers', () => {
      if (traits.hasReferrers) {
        it('lists those of a manifest in an OCI index', async () => {
          const response = await ask(`${REPOSITORY}/referrers/${image.manifest.digest}`);
          expect(response.status).toBe(200);
          expect(response.headers['content-type']).toBe(MEDIA_TYPE.ociIndex);
          expect(jsonOf(response)).toMatchObject({
            schemaVersion: 2,
            mediaType: MEDIA_TYPE.ociIndex,
            manifests: [
              { ...descriptorOf(signature.manifest), artifactType: 'application/vnd.test.signature' },
            ],
          });
        });

        it('filters them, and says so', async () => {
          const path = `${REPOSITORY}/referrers/${image.manifest.digest}?artifactType=application/other`;
          const response = await ask(path);
          expect(response.headers['oci-filters-applied']).toBe('artifactType');
          expect(jsonOf(response)).toMatchObject({ manifests: [] });
        });

        it('gives an empty index for what has none', async () => {
          const response = await ask(`${REPOSITORY}/referrers/${UNKNOWN_DIGEST}`);
          expect(response.status).toBe(200);
          expect(jsonOf(response)).toMatchObject({ manifests: [] });
        });
      } else {
        it('answers 404 without an OCI error, as to any path that is no endpoint', async () => {
          const response = await ask(`${REPOSITORY}/referrers/${image.manifest.digest}`);
          expect(response.status).toBe(404);
          expect(mediaTypeOf(response)).toBe('text/plain');
        });
      }
    });

    // Registries with a token service say 401 instead, which no contract binds.
    it('answers 404 with an OCI error, or refuses, where it does not know the repository', async () => {
      const answers: [string, string[]][] = [
        ['manifests/latest', ['MANIFEST_UNKNOWN', 'NAME_UNKNOWN']],
        [`blobs/${UNKNOWN_DIGEST}`, ['BLOB_UNKNOWN', 'NAME_UNKNOWN']],
        ['tags/list', ['NAME_UNKNOWN']],
      ];
      for (const [path, codes] of answers) {
        const response = await ask(`no/such/repository/${path}`, { headers: { accept: ACCEPT } });
        if (response.status === 401) expectError(response, 401, ['UNAUTHORIZED']);
        else expectError(response, 404, codes);
      }
    });
  });
}

/** As a client pulls: takes the token that it is told to take, and follows one redirect, without it. */
async function pull(url: string, options: RequestOptions = {}): Promise<Response> {
  let response = await request(url, options);
  const challenge = response.headers['www-authenticate'];
  if (response.status === 401 && challenge !== undefined) {
    const parameters = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
    );
    const { realm = '', service = '', scope } = parameters;
    const query = new URLSearchParams({ service, ...(scope === undefined ? {} : { scope }) });
    const { token } = jsonOf(await request(`${realm}?${query.toString()}`)) as { token: string };
    const headers = { ...options.headers, authorization: `Bearer ${token}` };
    response = await request(url, { ...options, headers });
  }
  const { location } = response.headers;
  return response.status === 307 && location !== undefined ? request(location, options) : response;
}

function expectManifestHeaders({ headers }: Response, content: Content): void {
  expect(headers).toMatchObject({
    'content-type': content.mediaType,
    'content-length': String(content.bytes.length),
    'docker-content-digest': content.digest,
    'docker-distribution-api-version': 'registry/2.0',
    etag: `"${content.digest}"`,
  });
}

function expectError(response: Response, status: number, codes: readonly string[]): void {
  expect(response.status).toBe(status);
  expect(mediaTypeOf(response)).toBe('application/json');
  const { errors } = jsonOf(response) as { errors: { code: string; message: string }[] };
  expect(codes).toContain(errors[0]?.code);
  expect(errors[0]?.message).toEqual(expect.any(String));
}

function mediaTypeOf({ headers }: Response): string | undefined {
  return headers['content-type']?.split(';', 1)[0];
}
