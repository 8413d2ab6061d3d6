/** What an upstream, or who speaks in its place, can not make the mirror do. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { get, head, request } from '../support/http.ts';
import { buildImage, contentOf, descriptorOf } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import { jsonReply, redirectTo } from '../support/scripted-upstream-reply.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const image = buildImage();
const { digest } = image.layers[0]!;

/** A host that nobody has any business with: not even a connection goes unnoticed. */
async function startCanary() {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

describe('the URLs in a descriptor', () => {
  const given = useMirror();

  it('are fetched by nobody: not for a pull, a layer that upstream does not have, an index or referrers', async () => {
    const { upstream, v2 } = given;
    await using canary = await startCanary();
    const urls = [`${canary.url}/layer`, `${canary.url}/v2/`];
    const absent = contentOf(Buffer.from('a foreign layer'), 'application/vnd.docker.image.rootfs.foreign');
    const foreign = { ...descriptorOf(absent), urls };
    const manifest = contentOf(
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPE.ociManifest,
          config: { ...descriptorOf(image.config), urls },
          layers: [{ ...descriptorOf(image.layers[0]!), urls }, foreign],
          subject: { ...descriptorOf(image.manifest), urls },
        }),
      ),
      MEDIA_TYPE.ociManifest,
    );
    const index = contentOf(
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MEDIA_TYPE.ociIndex,
          manifests: [{ ...descriptorOf(manifest), urls, data: 'e30=' }],
        }),
      ),
      MEDIA_TYPE.ociIndex,
    );
    const child = { manifest, blobs: [image.config, image.layers[0]!], children: [] };
    upstream.push(REPOSITORY, '3', image);
    upstream.push(REPOSITORY, 'foreign', { manifest: index, blobs: [], children: [child] });

    expect((await get(`${v2}/${REPOSITORY}/manifests/foreign`)).body).toEqual(index.bytes);
    expect((await get(`${v2}/${REPOSITORY}/manifests/${manifest.digest}`)).body).toEqual(manifest.bytes);
    expect((await get(`${v2}/${REPOSITORY}/blobs/${image.config.digest}`)).status).toBe(200);
    expect((await get(`${v2}/${REPOSITORY}/blobs/${digest}`)).status).toBe(200);
    for (const ask of [head, get]) {
      expect((await ask(`${v2}/${REPOSITORY}/blobs/${absent.digest}`)).status).toBe(404);
    }
    expect((await get(`${v2}/${REPOSITORY}/referrers/${image.manifest.digest}`)).status).toBe(200);
    expect(canary.connections).toBe(0);
  });
});

describe('a redirect to an address that the upstream has no business with', () => {
  const given = useMirror();
  const METADATA = 'http://169.254.169.254/latest/meta-data?X-Amz-Signature=s3cr3t-signature';

  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  it.each([
    ['blob', `blobs/${digest}`],
    ['manifest', 'manifests/3'],
    ['tags', 'tags/list'],
    ['referrers', `referrers/${digest}`],
  ] as const)('is a 502 at once, asked once, and the log says what to set: %s', async (kind, path) => {
    const { upstream, mirror, v2 } = given;
    upstream.reply({ kind }, redirectTo(METADATA), Infinity);
    const response = await get(`${v2}/${REPOSITORY}/${path}`);
    expectError(response, 502, 'UNAVAILABLE');
    expect(response.body.toString()).not.toContain('169.254');
    expect(upstream.count({ kind, status: 307 })).toBe(1);
    const log = inspect(mirror.log, { depth: Infinity });
    expect(log).toMatch(/from 169\.254\.169\.254: its address 169\.254\.169\.254 is none .* "redirects"/);
    expect(log).not.toContain('s3cr3t-signature');
  });

  it('is one that may be set', async () => {
    // Nothing that is sent there leaves the machine: now it is the system that refuses.
    const host = '255.255.255.255';
    await using mirror = await startMirror({
      upstreamUrl: given.upstream.url,
      env: { ENTREPOT_UPSTREAM_REDIRECTS: host },
    });
    given.upstream.reply({ kind: 'tags' }, redirectTo(`http://${host}/tags`), Infinity);
    expectError(await get(`${mirror.url}/v2/${REPOSITORY}/tags/list`), 503, 'UNAVAILABLE');
    expectError(await get(`${given.v2}/${REPOSITORY}/tags/list`), 502, 'UNAVAILABLE');
  });
});

describe('a link to the next page', () => {
  const given = useMirror();

  it.each(['tags/list', `referrers/${digest}`])('leads to no other host: %s', async (path) => {
    const { upstream, v2 } = given;
    await using canary = await startCanary();
    upstream.push(REPOSITORY, '3', image);
    const kind = path.startsWith('tags') ? 'tags' : 'referrers';
    const link = { link: `<${canary.url}/v2/${REPOSITORY}/${path}?last=a&n=1>; rel="next"` };
    const body = { name: REPOSITORY, tags: ['a'], schemaVersion: 2, manifests: [] };
    upstream.reply({ kind }, jsonReply(200, body, { ...link, 'content-type': MEDIA_TYPE.ociIndex }));
    const response = await get(`${v2}/${REPOSITORY}/${path}`);
    expect(response.status).toBe(200);
    expect(response.headers.link).toBeUndefined();
    expect(upstream.count({ kind, where: ({ query }) => query.get('last') === 'a' })).toBe(1);
    expect(canary.connections).toBe(0);
  });
});

describe('what goes upstream', () => {
  const given = useMirror({ scripted: { credentials: { username: 'robot', password: 'pass-5f0c7a' } } });

  it('has nothing of what the client sent but the name and the reference', async () => {
    const { upstream, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    const headers = {
      authorization: 'Bearer of-the-client',
      cookie: 'a=b',
      range: 'bytes=1-2',
      'if-none-match': '"x"',
      'accept-encoding': 'gzip, zstd',
      accept: 'text/html',
      forwarded: 'for=1.2.3.4',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-for': '1.2.3.4',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'user-agent': 'docker/29',
      'x-request-id': 'of-the-client',
    };
    for (const path of ['manifests/3', `blobs/${digest}`, 'tags/list', `referrers/${digest}`]) {
      await request(`${v2}/${REPOSITORY}/${path}?ns=docker.io&evil=1`, { headers });
    }
    await request(`${v2}/${REPOSITORY}/tags/list?n=3&last=b`, { headers, method: 'HEAD' });
    expect(upstream.requests.length).toBeGreaterThan(6);
    const names = new Set(upstream.requests.flatMap(({ headers }) => Object.keys(headers)));
    expect([...names].sort()).toEqual([
      'accept',
      'accept-encoding',
      'authorization',
      'connection',
      'host',
      'user-agent',
      'x-request-id',
    ]);
    for (const { headers, query, origin } of upstream.requests) {
      expect(headers['accept-encoding']).toBe('identity');
      expect(headers['user-agent']).toMatch(/^entrepot\//);
      expect(headers.authorization ?? '').not.toContain('of-the-client');
      expect(headers['x-request-id']).not.toBe('of-the-client');
      expect(headers.accept ?? MEDIA_TYPE.ociIndex).toContain(MEDIA_TYPE.ociIndex);
      if (origin === 'registry') {
        expect([...query.keys()].filter((key) => !['n', 'last'].includes(key))).toEqual([]);
      }
    }
  });
});
