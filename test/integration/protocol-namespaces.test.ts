/** R2 of what clients need: one mirror for several registries, in every way that clients name the one they mean. */
import { beforeEach, describe, expect, it } from 'vitest';
import { get, head } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { startSeveral } from '../support/several-upstreams.ts';
import { useMirror } from '../support/use-mirror.ts';

const UNKNOWN_DIGEST = `sha256:${'0'.repeat(64)}`;
const ENDPOINTS = ['manifests/3', `blobs/${UNKNOWN_DIGEST}`, 'tags/list', `referrers/${UNKNOWN_DIGEST}`];

describe('R2: the one upstream there is', () => {
  const given = useMirror();
  const image = buildImage();
  const { digest } = image.layers[0]!;

  beforeEach(() => given.upstream.push('library/alpine', '3', image));

  it.each([
    ['nothing but the name (podman, dockerd)', '/v2/library/alpine', ''],
    ['ns in the query (containerd, dockerd with its store)', '/v2/library/alpine', '?ns=docker.io'],
    ['a path before /v2 (dockerd with a path in its mirror URL)', '/docker.io/v2/library/alpine', ''],
    ['a path before /v2 and ns (containerd)', '/docker.io/v2/library/alpine', '?ns=docker.io'],
    ['a path behind /v2 (podman with a path in its location)', '/v2/docker.io/library/alpine', ''],
    ['a path behind /v2 and ns (BuildKit)', '/v2/docker.io/library/alpine', '?ns=docker.io'],
    ['a path before, one behind and ns', '/docker.io/v2/docker.io/library/alpine', '?ns=docker.io'],
  ])('is meant by %s', async (_, path, query) => {
    const base = given.mirror.url + path;
    const manifest = await get(`${base}/manifests/3${query}`);
    expect(manifest.body).toEqual(image.manifest.bytes);
    expect((await get(`${base}/blobs/${digest}${query}`)).body).toEqual(image.layers[0]!.bytes);
    expect((await get(`${base}/tags/list${query}`)).status).toBe(200);
    expect((await get(`${base}/referrers/${image.manifest.digest}${query}`)).status).toBe(200);
    for (const { origin, repository } of given.upstream.requests) {
      if (origin === 'registry') expect(repository).toBe('library/alpine');
    }
  });

  it('has one cache, whichever way it is named', async () => {
    for (const path of [`manifests/3`, `blobs/${digest}`, 'tags/list']) {
      await get(`${given.v2}/library/alpine/${path}`);
    }
    given.upstream.reset();
    for (const base of [
      '/docker.io/v2/library/alpine',
      '/v2/docker.io/library/alpine',
      '/v2/library/alpine',
    ]) {
      for (const path of [`manifests/3`, `blobs/${digest}`, 'tags/list']) {
        expect((await get(`${given.mirror.url}${base}/${path}?ns=docker.io`)).status).toBe(200);
      }
    }
    expect(given.upstream.requests).toEqual([]);
  });

  it('is named back in OCI-Namespace where ns named it, on every endpoint, to GET and HEAD', async () => {
    for (const path of ['manifests/3', `blobs/${digest}`, 'tags/list', `referrers/${digest}`]) {
      for (const ask of [get, head]) {
        const response = await ask(`${given.v2}/library/alpine/${path}?ns=docker.io`);
        expect(response.status).toBe(200);
        expect(response.headers['oci-namespace']).toBe('docker.io');
      }
    }
  });

  it('is not named back where ns was not sent', async () => {
    for (const path of [
      '/v2/library/alpine',
      '/docker.io/v2/library/alpine',
      '/v2/docker.io/library/alpine',
    ]) {
      const response = await get(`${given.mirror.url}${path}/manifests/3`);
      expect(response.status).toBe(200);
      expect(response.headers['oci-namespace']).toBeUndefined();
    }
  });
});

describe('R2: a registry that is not configured', () => {
  const given = useMirror();

  beforeEach(() => given.upstream.push('library/alpine', '3', buildImage()));

  it.each([
    ['by ns', '/v2/library/alpine', '?ns=ghcr.io'],
    ['by an empty ns', '/v2/library/alpine', '?ns='],
    ['by a path before /v2', '/ghcr.io/v2/library/alpine', ''],
    ['by a path before /v2, with an ns that is known', '/ghcr.io/v2/library/alpine', '?ns=docker.io'],
    ['by ns, with a path before /v2 that is known', '/docker.io/v2/library/alpine', '?ns=ghcr.io'],
    ['by another case', '/v2/library/alpine', '?ns=DOCKER.IO'],
    ['by a URL', '/v2/library/alpine', '?ns=https://docker.io'],
    ['by what would break a header', '/v2/library/alpine', '?ns=docker.io%0d%0aX-Injected:%201'],
    [
      'the same with a path that is known',
      '/docker.io/v2/library/alpine',
      '?ns=docker.io%0d%0aX-Injected:%201',
    ],
  ])('is NAME_UNKNOWN %s, never the default in its place', async (_, path, query) => {
    for (const endpoint of ENDPOINTS) {
      const response = await get(`${given.mirror.url}${path}/${endpoint}${query}`);
      expectError(response, 404, 'NAME_UNKNOWN');
      expect(response.headers['oci-namespace']).toBeUndefined();
      expect(response.headers).not.toHaveProperty('x-injected');
    }
    expect(given.upstream.requests).toEqual([]);
  });

  it('is never dialled: a name is a key, not a host', async () => {
    await using stranger = await ScriptedUpstream.start();
    stranger.push('library/alpine', '3', buildImage());
    const { host } = new URL(stranger.url);
    expectError(await get(`${given.v2}/library/alpine/manifests/3?ns=${host}`), 404, 'NAME_UNKNOWN');
    expectError(await get(`${given.mirror.url}/${host}/v2/library/alpine/manifests/3`), 404, 'NAME_UNKNOWN');
    expect(stranger.requests).toEqual([]);
    expect(given.upstream.requests).toEqual([]);
  });
});

describe('R2: several upstreams', () => {
  const hubImage = buildImage({ seed: 'hub' });
  const ghcrImage = buildImage({ seed: 'ghcr' });
  let hub: ScriptedUpstream;
  let ghcr: ScriptedUpstream;
  let mirror: RunningMirror;

  beforeEach(async () => {
    const several = await startSeveral({ hub: 'docker.io', ghcr: 'ghcr.io, "mirror.example.com:5000"' });
    [hub, ghcr] = [several.upstreams.hub, several.upstreams.ghcr];
    mirror = several.mirror;
    hub.push('owner/app', '1', hubImage);
    ghcr.push('owner/app', '1', ghcrImage);
    return () => several[Symbol.asyncDispose]();
  });

  it.each([
    ['/v2/owner/app/manifests/1?ns=ghcr.io'],
    ['/v2/owner/app/manifests/1?ns=mirror.example.com:5000'],
    ['/v2/owner/app/manifests/1?ns=mirror.example.com%3A5000'],
    ['/ghcr.io/v2/owner/app/manifests/1'],
    ['/ghcr.io/v2/owner/app/manifests/1?ns=ghcr.io'],
    ['/mirror.example.com:5000/v2/owner/app/manifests/1'],
    ['/v2/ghcr.io/owner/app/manifests/1'],
    ['/v2/ghcr.io/owner/app/manifests/1?ns=ghcr.io'],
  ])('asks the second one, and it alone, for %s', async (path) => {
    const response = await get(mirror.url + path);
    expect(response.body).toEqual(ghcrImage.manifest.bytes);
    expect(ghcr.count({ kind: 'manifest', repository: 'owner/app', status: 200 })).toBe(2);
    expect(hub.requests).toEqual([]);
  });

  it('keeps what has the same name apart, tags, lists and referrers included', async () => {
    for (const [query, image] of [
      ['', hubImage],
      ['?ns=ghcr.io', ghcrImage],
      ['?ns=docker.io', hubImage],
    ] as const) {
      const { headers } = await head(`${mirror.url}/v2/owner/app/manifests/1${query}`);
      expect(headers['docker-content-digest']).toBe(image.manifest.digest);
      const other = image === hubImage ? ghcrImage : hubImage;
      const foreign = await get(`${mirror.url}/v2/owner/app/manifests/${other.manifest.digest}${query}`);
      expectError(foreign, 404, 'MANIFEST_UNKNOWN');
    }
    ghcr.push('owner/app', '2', ghcrImage);
    expect((await get(`${mirror.url}/v2/owner/app/tags/list`)).body.toString()).toContain('["1"]');
    expect((await get(`${mirror.url}/v2/ghcr.io/owner/app/tags/list`)).body.toString()).toContain(
      '["1","2"]',
    );
  });

  it('refuses who names two of them', async () => {
    const response = await get(`${mirror.url}/ghcr.io/v2/owner/app/manifests/1?ns=docker.io`);
    expectError(response, 404, 'NAME_UNKNOWN');
    expect([...hub.requests, ...ghcr.requests]).toEqual([]);
  });

  it('gives no blob of the one to who asks the other, which does not have it', async () => {
    const { digest } = hubImage.layers[0]!;
    expect((await get(`${mirror.url}/v2/owner/app/blobs/${digest}`)).status).toBe(200);
    for (const ask of [get, head]) {
      expect((await ask(`${mirror.url}/v2/owner/app/blobs/${digest}?ns=ghcr.io`)).status).toBe(404);
    }
    expect(ghcr.count({ kind: 'blob', reference: digest, status: 404 })).toBe(2);
  });

  it('keeps serving the one while the other is away', async () => {
    await hub.stop();
    expect((await get(`${mirror.url}/v2/owner/app/manifests/1?ns=ghcr.io`)).status).toBe(200);
    expectError(await get(`${mirror.url}/v2/owner/app/manifests/1`), 503, 'UNAVAILABLE');
    expect(ghcr.count({ kind: 'manifest', status: 200 })).toBe(2);
  });

  it('sends links of lists that name the upstream as the request did', async () => {
    for (const [path, query] of [
      ['/v2/owner/app/tags/list', '&ns=ghcr.io'],
      ['/ghcr.io/v2/owner/app/tags/list', ''],
      ['/v2/ghcr.io/owner/app/tags/list', ''],
    ] as const) {
      ghcr.tag('owner/app', '2', ghcrImage.manifest.digest);
      const { headers } = await get(`${mirror.url}${path}?n=1${query}`);
      expect(headers.link).toBe(`<${path}?n=1&last=1${query}>; rel="next"`);
    }
  });
});
