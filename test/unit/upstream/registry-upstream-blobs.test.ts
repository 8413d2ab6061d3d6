import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { bytesOf } from '../../support/bodies.ts';
import { randomBytes } from '../../support/images.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { errorReply, htmlPage, redirectTo } from '../../support/scripted-upstream-reply.ts';
import {
  ACCOUNT,
  IMAGE,
  REPOSITORY,
  TAG,
  connected,
  failure,
  never,
  passwordOf,
  type Connected,
} from './connect.ts';

const BYTES = randomBytes('blob', 200_000);
const UNKNOWN = digestOf(Buffer.from('unknown'));

describe.each([
  ['from a CDN', true],
  ['from the registry itself', false],
])('RegistryUpstream.fetchBlob %s', (_, cdn) => {
  let its: Connected;
  let digest: Digest;
  /** Where the bytes come from. */
  const source = { kind: cdn ? 'cdn' : 'blob', method: 'GET' } as const;
  beforeEach(async () => {
    its = await connected({ cdn });
    digest = its.registry.pushBlob(REPOSITORY, BYTES);
  });
  afterEach(() => its[Symbol.asyncDispose]());

  it('gives the whole blob', async () => {
    const blob = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    expect(blob).toMatchObject({ size: BYTES.length, offset: 0 });
    expect((await bytesOf(blob.body)).equals(BYTES)).toBe(true);
    const [asked] = its.registry.requests.filter((request) => request.kind === source.kind).slice(-1);
    expect(asked?.headers.range).toBeUndefined();
  });

  it('gives the rest of it, from an offset on', async () => {
    const blob = (await its.upstream.fetchBlob(REPOSITORY, digest, 150_000, never()))!;
    expect(blob).toMatchObject({ size: BYTES.length, offset: 150_000 });
    expect((await bytesOf(blob.body)).equals(BYTES.subarray(150_000))).toBe(true);
  });

  it('says so where it gives all of it instead', async () => {
    its.registry.fault(source, { ignoresRange: true });
    const blob = (await its.upstream.fetchBlob(REPOSITORY, digest, 150_000, never()))!;
    expect(blob).toMatchObject({ size: BYTES.length, offset: 0 });
    expect((await bytesOf(blob.body)).equals(BYTES)).toBe(true);
  });

  it('knows no size where upstream tells none', async () => {
    its.registry.fault(source, { headers: { 'content-length': undefined } });
    const blob = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    expect(blob.size).toBeUndefined();
    expect((await bytesOf(blob.body)).equals(BYTES)).toBe(true);
  });

  it.each(['bytes 0-199999/200000', 'bytes 149999-199999/200000', 'pages 1-2/3', undefined])(
    'refuses a part that is another one: %s',
    async (range) => {
      its.registry.fault(source, { headers: { 'content-range': range } });
      await expect(its.upstream.fetchBlob(REPOSITORY, digest, 150_000, never())).rejects.toMatchObject(
        failure('protocol', /other bytes than bytes=150000-/),
      );
    },
  );

  it('refuses a part where all was asked for, and a 416', async () => {
    its.registry.fault(source, { reply: { status: 206, headers: { 'content-range': 'bytes 0-3/8' } } });
    await expect(its.upstream.fetchBlob(REPOSITORY, digest, 0, never())).rejects.toMatchObject(
      failure('protocol'),
    );
    await expect(its.upstream.fetchBlob(REPOSITORY, digest, BYTES.length, never())).rejects.toMatchObject(
      failure('protocol'),
    );
  });

  it('refuses what somebody compressed, and asks for nothing of the kind', async () => {
    its.registry.fault(source, { gzip: true });
    const blob = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    expect((await bytesOf(blob.body)).equals(BYTES)).toBe(true);
    its.registry.fault(source, { headers: { 'content-encoding': 'gzip' } });
    await expect(its.upstream.fetchBlob(REPOSITORY, digest, 0, never())).rejects.toMatchObject(
      failure('protocol', /Content-Encoding/),
    );
  });

  it.each(['fin', 'rst'] as const)('fails in the body where the connection breaks (%s)', async (by) => {
    const gate = its.registry.hold(source, { afterBytes: 100_000 });
    its.registry.fault(source, { cut: { by, afterBytes: 100_000 } });
    const { body } = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    gate.release();
    await expect(bytesOf(body)).rejects.toThrow();
  });

  it('fails in the body where that falls silent', async () => {
    await using its = await connected({ cdn }, { bodyTimeoutMs: 50 });
    const digest = its.registry.pushBlob(REPOSITORY, BYTES);
    its.registry.fault(source, { stall: { afterBytes: 100_000 } });
    const { body } = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    await expect(bytesOf(body)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  });

  it('ends the body when its signal is aborted', async () => {
    its.registry.fault(source, { stall: { afterBytes: 100_000 } });
    const leaver = new AbortController();
    const { body } = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, leaver.signal))!;
    const reading = bytesOf(body);
    leaver.abort(new Error('gone'));
    await expect(reading).rejects.toThrow('gone');
  });

  it('may be given up by whoever got it, who need not listen', async () => {
    its.registry.fault(source, { stall: { afterBytes: 100_000 } });
    const { body } = (await its.upstream.fetchBlob(REPOSITORY, digest, 0, never()))!;
    body.destroy();
    await expect(bytesOf(body)).rejects.toThrow();
  });

  it('has nothing where there is nothing', async () => {
    expect(await its.upstream.fetchBlob(REPOSITORY, UNKNOWN, 0, never())).toBeUndefined();
  });
});

describe('the redirects of RegistryUpstream', () => {
  it('get another link each time, and find upstream unreachable where one has run out', async () => {
    await using its = await connected();
    const gate = its.registry.hold({ kind: 'blob', status: 307 });
    const late = its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    await gate.waiting;
    its.registry.expireLinks();
    gate.release();
    await expect(late).rejects.toMatchObject(
      failure(
        'unreachable',
        new RegExp(`^GET library/alpine/blobs/${IMAGE.config.digest} from [\\d.:]+: 403[^?]*$`),
      ),
    );
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    expect(await bytesOf(blob!.body)).toEqual(Buffer.from(IMAGE.config.bytes));
  });

  it('end after five', async () => {
    await using its = await connected();
    const path = `/v2/library/alpine/blobs/${IMAGE.config.digest}`;
    its.registry.reply({ kind: 'blob' }, redirectTo(path), Infinity);
    await expect(its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never())).rejects.toMatchObject(
      failure('protocol', /after 5 other redirects/),
    );
    expect(
      its.registry.requests.filter(({ kind, status }) => kind === 'blob' && status === 307),
    ).toHaveLength(6);
  });

  it('keep our token within the upstream, whatever the path', async () => {
    await using its = await connected({ cdn: false });
    its.registry.reply({ kind: 'blob' }, redirectTo('/artifacts-downloads/x'));
    its.registry.reply({ kind: 'other' }, { status: 200, body: Buffer.from('bytes') });
    // The double asks for a token at that path as well, and would not get as far without one.
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    expect((await bytesOf(blob!.body)).toString()).toBe('bytes');
    const redirected = its.registry.requests.find(({ kind }) => kind === 'other');
    expect(redirected?.headers.authorization).toMatch(/^Bearer token-/);
  });

  it('lead to another registry, which gets an anonymous token of its own', async () => {
    await using other = await ScriptedUpstream.start();
    other.push('mirror/images/alpine', '3', IMAGE);
    await using its = await connected({ credentials: ACCOUNT }, { credentials: passwordOf(ACCOUNT) });
    its.registry.makePrivate(REPOSITORY);
    const target = `${other.url}/v2/mirror/images/alpine/manifests/3`;
    its.registry.reply({ kind: 'manifest' }, redirectTo(target), 2);
    expect((await its.upstream.fetchManifest(REPOSITORY, TAG, never()))?.descriptor.digest).toBe(
      IMAGE.manifest.digest,
    );
    expect((await its.upstream.resolve(REPOSITORY, TAG, never()))?.descriptor.digest).toBe(
      IMAGE.manifest.digest,
    );

    const ours = its.registry.requests.map(({ headers }) => headers.authorization);
    const theirs = other.requests.map(({ headers }) => headers.authorization);
    expect(theirs.filter((header) => header !== undefined && ours.includes(header))).toEqual([]);
    expect(other.count({ kind: 'token' })).toBe(1);
    expect(other.requests.find(({ kind }) => kind === 'token')?.headers.authorization).toBeUndefined();
    expect(other.requests.find(({ kind }) => kind === 'token')?.query.get('scope')).toBe(
      'repository:mirror/images/alpine:pull',
    );
    // The rate limit that is told there is not this upstream's.
    expect(its.upstream.rateLimit).toBeUndefined();
  });

  it('lead to no host that wants our password', async () => {
    await using other = await ScriptedUpstream.start({ auth: 'basic', credentials: ACCOUNT });
    other.push(REPOSITORY, '3', IMAGE);
    await using its = await connected({ auth: 'none' }, { credentials: passwordOf(ACCOUNT) });
    its.registry.reply({ kind: 'manifest' }, redirectTo(`${other.url}/v2/library/alpine/manifests/3`));
    await expect(its.upstream.fetchManifest(REPOSITORY, TAG, never())).rejects.toMatchObject(
      failure('denied'),
    );
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});

describe('RegistryUpstream.statBlob', () => {
  it('asks by HEAD, and downloads nothing', async () => {
    await using its = await connected();
    expect(await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).toEqual({
      size: IMAGE.config.bytes.length,
    });
    expect(its.registry.count({ kind: 'blob', method: 'GET' })).toBe(0);
    expect(its.registry.blobBytesSent).toBe(0);
  });

  it('has nothing where there is nothing', async () => {
    await using its = await connected();
    expect(await its.upstream.statBlob(REPOSITORY, UNKNOWN, never())).toBeUndefined();
  });

  it('knows no size where upstream tells none', async () => {
    await using its = await connected();
    its.registry.fault({ kind: 'blob' }, { headers: { 'content-length': undefined } });
    expect(await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).toEqual({
      size: undefined,
    });
  });

  it.each([
    [
      'leads to a CDN that takes no HEAD',
      (its: Connected) => redirectTo(`${its.registry.cdnUrl}/signed-for-get`),
    ],
    ['is not allowed', () => errorReply(405, 'UNSUPPORTED')],
  ])('gets one byte where a HEAD %s', async (_, reply) => {
    await using its = await connected();
    its.registry.reply({ kind: 'blob', method: 'HEAD' }, reply(its));
    expect(await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).toEqual({
      size: IMAGE.config.bytes.length,
    });
    expect(its.registry.requests.at(-1)?.headers.range).toBe('bytes=0-0');
    expect(its.registry.blobBytesSent).toBeLessThanOrEqual(1);
  });

  it('gets along with a CDN that ignores the range', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'blob', method: 'HEAD' }, errorReply(405, 'UNSUPPORTED'));
    its.registry.fault({ kind: 'cdn' }, { ignoresRange: true });
    expect(await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).toEqual({
      size: IMAGE.config.bytes.length,
    });
  });

  it('knows the empty blob, which has no first byte', async () => {
    await using its = await connected();
    const empty = its.registry.pushBlob(REPOSITORY, new Uint8Array());
    expect(await its.upstream.statBlob(REPOSITORY, empty, never())).toEqual({ size: 0 });
    its.registry.reply({ kind: 'blob', method: 'HEAD' }, errorReply(405, 'UNSUPPORTED'));
    expect(await its.upstream.statBlob(REPOSITORY, empty, never())).toEqual({ size: 0 });
  });

  it('takes a web page for no proof that the blob is there', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'blob' }, htmlPage());
    await expect(its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).rejects.toMatchObject(
      failure('protocol', /web page/),
    );
  });

  it('is denied where the repository is', async () => {
    await using its = await connected();
    its.registry.makePrivate(REPOSITORY);
    await expect(its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never())).rejects.toMatchObject(
      failure('denied'),
    );
  });
});
