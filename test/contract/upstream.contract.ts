/**
 * What any Upstream promises, whether it asks a registry itself or stands in front of one that does: held in front of
 * a scripted registry.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parseReference, parseRepositoryName, type Reference } from '../../src/oci/reference.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { bytesOf } from '../support/bodies.ts';
import { buildImage, descriptorOf, randomBytes } from '../support/images.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

const REPOSITORY = parseRepositoryName('team/app');
const IMAGE = buildImage();
const SIGNATURE = buildImage({
  seed: 'signature',
  subject: IMAGE.manifest,
  artifactType: 'application/x-signature',
});
const BYTES = randomBytes('blob', 100_000);
const UNKNOWN = digestOf(Buffer.from('unknown'));
const TAG = parseReference('latest');
const DIGEST = parseReference(IMAGE.manifest.digest);

/** @param open an Upstream of the registry at `url`, anonymous and with generous timeouts */
export function upstreamContract(name: string, open: (url: string) => Promise<Upstream>): void {
  describe(`the upstream contract of ${name}`, () => {
    let registry: ScriptedUpstream;
    let upstream: Upstream;
    let signal: AbortSignal;
    beforeEach(async () => {
      registry = await ScriptedUpstream.start();
      registry.push(REPOSITORY, 'latest', IMAGE);
      registry.push(REPOSITORY, undefined, SIGNATURE);
      upstream = await open(registry.url);
      ({ signal } = new AbortController());
    });
    afterEach(async () => {
      await upstream.close();
      await registry.close();
    });

    /** Each method, asked for what is there. */
    const calls: readonly [string, (signal: AbortSignal) => Promise<unknown>][] = [
      ['resolve', (signal) => upstream.resolve(REPOSITORY, TAG, signal)],
      ['fetchManifest', (signal) => upstream.fetchManifest(REPOSITORY, TAG, signal)],
      ['statBlob', (signal) => upstream.statBlob(REPOSITORY, IMAGE.config.digest, signal)],
      ['fetchBlob', (signal) => upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, signal)],
      ['listTags', (signal) => upstream.listTags(REPOSITORY, signal)],
      ['listReferrers', (signal) => upstream.listReferrers(REPOSITORY, IMAGE.manifest.digest, signal)],
    ];

    it('has a name', () => {
      expect(upstream.name).not.toBe('');
      expect(upstream.name).toBe(upstream.name);
    });

    describe.each<[string, Reference]>([
      ['a tag', TAG],
      ['a digest', DIGEST],
    ])('with %s', (_, reference) => {
      it('resolves, which costs no pull', async () => {
        const resolved = await upstream.resolve(REPOSITORY, reference, signal);
        expect(resolved).toEqual({ descriptor: descriptorOf(IMAGE.manifest) });
        expect(registry.remainingPulls).toBe(100);
      });

      it('fetches the manifest, byte for byte', async () => {
        const manifest = await upstream.fetchManifest(REPOSITORY, reference, signal);
        expect(manifest?.descriptor).toEqual(descriptorOf(IMAGE.manifest));
        expect(Buffer.compare(manifest?.bytes ?? Buffer.of(), IMAGE.manifest.bytes)).toBe(0);
      });

      it('fetches no manifest whose bytes are not those of its digest', async () => {
        registry.fault({ kind: 'manifest', method: 'GET' }, { body: flipByte(5) });
        const fetching = upstream.fetchManifest(REPOSITORY, reference, signal);
        await expect(fetching).rejects.toMatchObject({ name: 'UpstreamError', failure: 'protocol' });
      });
    });

    it('passes on the manifest where it had to fetch it to resolve', async () => {
      registry.fault({ kind: 'manifest' }, { headers: { 'docker-content-digest': undefined } }, 2);
      const resolved = await upstream.resolve(REPOSITORY, TAG, signal);
      expect(resolved?.descriptor).toEqual(descriptorOf(IMAGE.manifest));
      expect(resolved?.manifest?.descriptor).toEqual(descriptorOf(IMAGE.manifest));
    });

    it('gives undefined for what upstream does not have', async () => {
      const reference = parseReference(UNKNOWN);
      expect(await upstream.resolve(REPOSITORY, reference, signal)).toBeUndefined();
      expect(await upstream.fetchManifest(REPOSITORY, reference, signal)).toBeUndefined();
      expect(await upstream.statBlob(REPOSITORY, UNKNOWN, signal)).toBeUndefined();
      expect(await upstream.fetchBlob(REPOSITORY, UNKNOWN, 0, signal)).toBeUndefined();
    });

    it('tells the size of a blob, without a download', async () => {
      const digest = registry.pushBlob(REPOSITORY, BYTES);
      expect(await upstream.statBlob(REPOSITORY, digest, signal)).toEqual({ size: BYTES.length });
      expect(registry.blobBytesSent).toBe(0);
    });

    it.each([0, 1, 60_000])('fetches a blob from byte %d on', async (offset) => {
      const digest = registry.pushBlob(REPOSITORY, BYTES);
      const blob = (await upstream.fetchBlob(REPOSITORY, digest, offset, signal))!;
      expect(blob).toMatchObject({ size: BYTES.length, offset });
      expect((await bytesOf(blob.body)).equals(BYTES.subarray(offset))).toBe(true);
    });

    it('says where a blob starts that came as a whole', async () => {
      const digest = registry.pushBlob(REPOSITORY, BYTES);
      registry.fault({ kind: 'cdn' }, { ignoresRange: true });
      const blob = (await upstream.fetchBlob(REPOSITORY, digest, 60_000, signal))!;
      expect(blob.offset).toBe(0);
      expect((await bytesOf(blob.body)).equals(BYTES)).toBe(true);
    });

    it('does not end a body that was cut short', async () => {
      const digest = registry.pushBlob(REPOSITORY, BYTES);
      registry.fault({ kind: 'cdn' }, { cut: { by: 'fin', afterBytes: 50_000 } });
      const { body } = (await upstream.fetchBlob(REPOSITORY, digest, 0, signal))!;
      await expect(bytesOf(body)).rejects.toThrow();
    });

    it('lets a body be destroyed without a listener for errors', async () => {
      const digest = registry.pushBlob(REPOSITORY, BYTES);
      registry.fault({ kind: 'cdn' }, { stall: { afterBytes: 50_000 } });
      const { body } = (await upstream.fetchBlob(REPOSITORY, digest, 0, signal))!;
      body.destroy();
      await expect(bytesOf(body)).rejects.toThrow();
    });

    it('lists all tags', async () => {
      registry.tag(REPOSITORY, '1.0', IMAGE.manifest.digest);
      expect(await upstream.listTags(REPOSITORY, signal)).toEqual(['1.0', 'latest']);
    });

    it('lists all referrers', async () => {
      expect(await upstream.listReferrers(REPOSITORY, IMAGE.manifest.digest, signal)).toEqual([
        { ...descriptorOf(SIGNATURE.manifest), artifactType: 'application/x-signature' },
      ]);
      expect(await upstream.listReferrers(REPOSITORY, UNKNOWN, signal)).toEqual([]);
    });

    it('has no referrers where upstream has no API for them', async () => {
      registry.reply({ kind: 'referrers' }, { status: 404 });
      expect(await upstream.listReferrers(REPOSITORY, IMAGE.manifest.digest, signal)).toBeUndefined();
    });

    it('keeps what upstream said of its rate limit', async () => {
      await upstream.fetchManifest(REPOSITORY, TAG, signal);
      expect(upstream.rateLimit).toMatchObject({ limit: 100, windowSeconds: 21_600 });
      expect(upstream.rateLimit?.seenAt).toEqual(expect.any(Number));
    });

    describe.each(calls)('%s', (method, call) => {
      it('is unreachable while upstream is', async () => {
        await registry.stop();
        await expect(call(signal)).rejects.toMatchObject({ name: 'UpstreamError', failure: 'unreachable' });
        await registry.restart();
        expect(await call(signal)).toBeDefined();
      });

      it('is rate-limited when upstream is, and tells for how long', async () => {
        const limited = { name: 'UpstreamError', failure: 'rate-limited' };
        registry.reply({ origin: 'registry' }, errorReply(429, 'TOOMANYREQUESTS', 'slow down'));
        await expect(call(signal)).rejects.toMatchObject({ ...limited, retryAfterSeconds: undefined });
        expect(await call(signal)).toBeDefined();
        const reply = errorReply(429, 'TOOMANYREQUESTS', 'slow down', { 'retry-after': '30' });
        registry.reply({ origin: 'registry' }, reply);
        await expect(call(signal)).rejects.toMatchObject({ ...limited, retryAfterSeconds: 30 });
      });

      it('is denied where upstream denies', async () => {
        registry.makePrivate(REPOSITORY);
        const calling = call(signal);
        // Upstream may have the referrers API for others only: that is none for us.
        if (method === 'listReferrers') expect(await calling).toBeUndefined();
        else await expect(calling).rejects.toMatchObject({ name: 'UpstreamError', failure: 'denied' });
      });

      it('throws the reason of an aborted signal', async () => {
        const reason = new Error('gone');
        await expect(call(AbortSignal.abort(reason))).rejects.toBe(reason);
        const gate = registry.hold({ origin: 'registry' });
        const leaver = new AbortController();
        const leaving = call(leaver.signal);
        await gate.waiting;
        leaver.abort(reason);
        await expect(leaving).rejects.toBe(reason);
      });

      it('may be called by many at once', async () => {
        const all = await Promise.allSettled(Array.from({ length: 20 }, () => call(signal)));
        expect(all.filter(({ status }) => status === 'rejected')).toEqual([]);
      });

      it('ends with close()', async () => {
        const gate = registry.hold({ origin: 'registry' });
        const calling = call(signal);
        await gate.waiting;
        await Promise.all([expect(calling).rejects.toThrow(), upstream.close()]);
      });
    });
  });
}
