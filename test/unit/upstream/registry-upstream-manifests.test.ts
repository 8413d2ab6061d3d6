import { describe, expect, it } from 'vitest';
import { MAX_MANIFEST_BYTES, MEDIA_TYPE } from '../../../src/oci/manifest.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { buildImage, descriptorOf } from '../../support/images.ts';
import { flipByte } from '../../support/scripted-upstream-faults.ts';
import { errorReply, htmlPage, redirectTo } from '../../support/scripted-upstream-reply.ts';
import { IMAGE, REPOSITORY, TAG, byDigest, connected, failure, never } from './connect.ts';

const DESCRIPTOR = descriptorOf(IMAGE.manifest);

describe('RegistryUpstream.resolve', () => {
  it('asks by HEAD, and costs no pull', async () => {
    await using its = await connected();
    expect(await its.upstream.resolve(REPOSITORY, TAG, never())).toEqual({ descriptor: DESCRIPTOR });
    expect(its.registry.count({ kind: 'manifest', method: 'GET' })).toBe(0);
    expect(its.registry.remainingPulls).toBe(100);
  });

  it('asks for every kind of manifest, uncompressed, by our name', async () => {
    await using its = await connected();
    await its.upstream.resolve(REPOSITORY, TAG, never());
    const { headers } = its.registry.requests.find(({ kind }) => kind === 'manifest')!;
    expect(headers.accept?.split(', ').sort()).toEqual(Object.values(MEDIA_TYPE).sort());
    expect(headers['accept-encoding']).toBe('identity');
    expect(headers['user-agent']).toBe('entrepot/test');
  });

  it.each(['docker-content-digest', 'content-type', 'content-length'])(
    'spends a GET where the HEAD has no %s',
    async (name) => {
      await using its = await connected();
      its.registry.fault({ kind: 'manifest', method: 'HEAD' }, { headers: { [name]: undefined } });
      const resolved = await its.upstream.resolve(REPOSITORY, TAG, never());
      expect(resolved?.descriptor).toEqual(DESCRIPTOR);
      expect(resolved?.manifest?.bytes).toEqual(Buffer.from(IMAGE.manifest.bytes));
      expect(its.registry.count({ kind: 'manifest', method: 'GET' })).toBe(1);
    },
  );

  it('spends a GET where the digest is none that we can verify', async () => {
    await using its = await connected();
    const headers = { 'docker-content-digest': 'blake3:0011' };
    its.registry.fault({ kind: 'manifest' }, { headers }, 2);
    expect(await its.upstream.resolve(REPOSITORY, TAG, never())).toMatchObject({
      descriptor: DESCRIPTOR,
      manifest: { descriptor: DESCRIPTOR },
    });
  });

  it('spends a GET where HEAD is not allowed', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'manifest', method: 'HEAD' }, errorReply(405, 'UNSUPPORTED'));
    expect((await its.upstream.resolve(REPOSITORY, TAG, never()))?.manifest?.descriptor).toEqual(DESCRIPTOR);
  });

  it('has nothing for a tag that does not exist, by HEAD or by GET', async () => {
    await using its = await connected();
    its.registry.deleteTag(REPOSITORY, '3');
    expect(await its.upstream.resolve(REPOSITORY, TAG, never())).toBeUndefined();
    its.registry.reply({ kind: 'manifest', method: 'HEAD' }, errorReply(405, 'UNSUPPORTED'));
    expect(await its.upstream.resolve(REPOSITORY, TAG, never())).toBeUndefined();
  });

  it('refuses the digest of something else', async () => {
    await using its = await connected();
    const headers = { 'docker-content-digest': IMAGE.config.digest };
    its.registry.fault({ kind: 'manifest' }, { headers });
    await expect(its.upstream.resolve(REPOSITORY, byDigest(IMAGE.manifest), never())).rejects.toMatchObject(
      failure('protocol', new RegExp(IMAGE.config.digest)),
    );
  });

  it('lets the bytes decide where the digest is of another algorithm', async () => {
    await using its = await connected();
    const image = buildImage({ algorithm: 'sha512' });
    its.registry.push(REPOSITORY, undefined, image);
    const headers = { 'docker-content-digest': IMAGE.manifest.digest };
    its.registry.fault({ kind: 'manifest', method: 'HEAD' }, { headers });
    const resolved = await its.upstream.resolve(REPOSITORY, byDigest(image.manifest), never());
    expect(resolved?.descriptor).toEqual(descriptorOf(image.manifest));
  });

  it('refuses an answer that somebody compressed', async () => {
    await using its = await connected();
    its.registry.fault({ kind: 'manifest' }, { headers: { 'content-encoding': 'gzip' } });
    await expect(its.upstream.resolve(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('protocol', /Content-Encoding/),
    );
  });
});

describe('RegistryUpstream.fetchManifest', () => {
  it.each([
    ['a tag', TAG],
    ['a digest', byDigest(IMAGE.manifest)],
  ])('gives the bytes as they are, by %s', async (_, reference) => {
    await using its = await connected();
    const manifest = await its.upstream.fetchManifest(REPOSITORY, reference, never());
    expect(manifest?.descriptor).toEqual(DESCRIPTOR);
    expect(manifest?.bytes).toEqual(Buffer.from(IMAGE.manifest.bytes));
  });

  it('has nothing where there is nothing', async () => {
    await using its = await connected();
    expect(await its.upstream.fetchManifest(REPOSITORY, byDigest(IMAGE.config), never())).toBeUndefined();
  });

  it.each([
    ['a digest', byDigest(IMAGE.manifest)],
    ['a tag, by the digest that came with it', TAG],
  ])('refuses other bytes than those of %s', async (_, reference) => {
    await using its = await connected();
    its.registry.fault({ kind: 'manifest' }, { body: flipByte(30) });
    await expect(its.upstream.fetchManifest(REPOSITORY, reference, never())).rejects.toMatchObject({
      ...failure('protocol', /GET library\/alpine\/manifests\/.* from 127\.0\.0\.1:\d+: .*digest/),
      cause: expect.objectContaining({ name: 'InvalidManifestError' }) as Error,
    });
  });

  it('computes the digest where none comes with a tag', async () => {
    await using its = await connected();
    its.registry.fault({ kind: 'manifest' }, { headers: { 'docker-content-digest': undefined } });
    expect((await its.upstream.fetchManifest(REPOSITORY, TAG, never()))?.descriptor).toEqual(DESCRIPTOR);
  });

  it('refuses a web page', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'manifest' }, htmlPage());
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('protocol'),
    );
  });

  it.each([String(MAX_MANIFEST_BYTES + 1), undefined])(
    'refuses more than 4 MiB, with Content-Length %s',
    async (length) => {
      await using its = await connected();
      const headers = { 'content-type': MEDIA_TYPE.ociManifest, 'content-length': length };
      const body = Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' ');
      its.registry.reply({ kind: 'manifest' }, { status: 200, headers, body });
      await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
        failure('protocol', /longer than 4194304 bytes/),
      );
    },
  );

  it('finds upstream unreachable where the body breaks off', async () => {
    await using its = await connected();
    its.registry.fault({ kind: 'manifest' }, { cut: { by: 'fin', afterBytes: 10 } });
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('unreachable', /broke off/),
    );
  });

  it('follows a redirect', async () => {
    await using its = await connected();
    const target = `${its.registry.url}/v2/library/alpine/manifests/${IMAGE.manifest.digest}`;
    its.registry.reply({ kind: 'manifest', reference: '3' }, redirectTo(target));
    expect((await its.upstream.fetchManifest(REPOSITORY, TAG, never()))?.descriptor).toEqual(DESCRIPTOR);
  });
});

describe('RegistryUpstream.rateLimit', () => {
  it('keeps what the headers said last', async () => {
    await using its = await connected({}, { now: () => 1234 });
    expect(its.upstream.rateLimit).toBeUndefined();
    await its.upstream.fetchManifest(REPOSITORY, TAG, never());
    await its.upstream.resolve(REPOSITORY, TAG, never());
    const headers = { 'ratelimit-limit': undefined, 'ratelimit-remaining': undefined };
    its.registry.fault({ kind: 'manifest' }, { headers });
    await its.upstream.resolve(REPOSITORY, TAG, never());
    expect(its.upstream.rateLimit).toEqual({
      limit: 100,
      remaining: 99,
      windowSeconds: 21_600,
      seenAt: 1234,
    });
  });

  it('is unknown for an upstream without limits, and does not come from blobs', async () => {
    await using its = await connected({ pullLimit: false });
    await its.upstream.resolve(REPOSITORY, TAG, never());
    its.registry.fault({ kind: 'blob' }, { headers: { 'ratelimit-limit': '5;w=60' } });
    await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never());
    expect(its.upstream.rateLimit).toBeUndefined();
  });
});

describe('what an answer means', () => {
  it.each([
    [400, 'protocol'],
    [403, 'denied'],
    [408, 'unreachable'],
    [410, 'protocol'],
    [416, 'protocol'],
    [429, 'rate-limited'],
    [500, 'unreachable'],
    [502, 'unreachable'],
    [503, 'unreachable'],
    [204, 'protocol'],
    [304, 'protocol'],
  ] as const)('takes a %d as %s', async (status, kind) => {
    await using its = await connected();
    its.registry.reply({ kind: 'manifest' }, { status }, Infinity);
    await expect(its.upstream.resolve(REPOSITORY, TAG, never())).rejects.toMatchObject(failure(kind));
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(failure(kind));
  });

  it('says what was asked of whom, and what upstream said', async () => {
    await using its = await connected();
    const message = `no \u0007 way ${'x'.repeat(300)}`;
    its.registry.reply({ kind: 'manifest' }, errorReply(403, 'DENIED', message));
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure(
        'denied',
        /^GET library\/alpine\/manifests\/3 from 127\.0\.0\.1:\d+: 403, DENIED: no {3}way x{183} \(/,
      ),
    );
  });

  it('repeats nothing of an error that is not OCI JSON', async () => {
    await using its = await connected();
    const body = Buffer.from('<html>secret</html>');
    its.registry.reply({ kind: 'manifest' }, { status: 502, body });
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('unreachable', /: 502$/),
    );
  });

  it('passes on how long to wait, where upstream says so', async () => {
    await using its = await connected();
    its.registry.remainingPulls = 0;
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject({
      ...failure('rate-limited', /pull rate limit/),
      retryAfterSeconds: undefined,
    });
    expect(its.upstream.rateLimit?.remaining).toBe(0);
    its.registry.reply(
      { kind: 'manifest' },
      errorReply(429, 'TOOMANYREQUESTS', 'slow', { 'retry-after': '17' }),
    );
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject({
      ...failure('rate-limited', /TOOMANYREQUESTS: slow/),
      retryAfterSeconds: 17,
    });
  });

  it('asks below the path of the upstream URL', async () => {
    await using its = await connected({ auth: 'none' }, { path: '/some/where/' });
    expect(await its.upstream.resolve(parseRepositoryName('a/b'), TAG, never())).toBeUndefined();
    expect(its.registry.requests[0]?.path).toBe('/some/where/v2/a/b/manifests/3');
  });
});
