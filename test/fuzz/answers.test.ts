/** Malformed answers at the real client: what it gives back is right by its contract, or it is an UpstreamError. */
import { describe, expect, it } from 'vitest';
import { algorithmOf, digestOf, isDigest, parseDigest } from '../../src/oci/digest.ts';
import {
  asReferrer,
  linksOf,
  MAX_MANIFEST_BYTES,
  type Descriptor,
  type Manifest,
} from '../../src/oci/manifest.ts';
import { isTag, parseReference, parseRepositoryName, type Reference } from '../../src/oci/reference.ts';
import { credentialsFrom } from '../../src/upstream/credentials.ts';
import { RegistryUpstream } from '../../src/upstream/registry-upstream.ts';
import { UpstreamError, type UpstreamBlob } from '../../src/upstream/upstream.ts';
import type { Random } from '../support/random.ts';
import { randomAnswer } from './support/http-answers.ts';
import { bytesInUse } from './support/memory.ts';
import { RawServer } from './support/raw-server.ts';
import { roundsOf, runRounds, seeds } from './support/rounds.ts';

const MIB = 1024 * 1024;
const NAME = parseRepositoryName('library/alpine');
const DIGEST = parseDigest(`sha256:${'a'.repeat(64)}`);
/** When whoever asks has had enough: there are answers that nothing else ends. */
const ENOUGH_MS = 1500;
/** How long it may then take until it shows. */
const PATIENCE_MS = 10_000;
/** As much of an endless blob as is read. */
const ENOUGH_BYTES = 8 * MIB;

type Call = (upstream: RegistryUpstream, random: Random, signal: AbortSignal) => Promise<void>;

const CALLS: Readonly<Record<string, Call>> = {
  resolve: async (upstream, random, signal) => {
    const reference = randomReference(random);
    const resolved = await upstream.resolve(NAME, reference, signal);
    if (!resolved) return;
    expectDescriptor(resolved.descriptor, reference);
    if (resolved.manifest) expectManifest(resolved.manifest, reference);
  },
  fetchManifest: async (upstream, random, signal) => {
    const reference = randomReference(random);
    const manifest = await upstream.fetchManifest(NAME, reference, signal);
    if (manifest) expectManifest(manifest, reference);
  },
  statBlob: async (upstream, _random, signal) => {
    const stat = await upstream.statBlob(NAME, DIGEST, signal);
    expectSize(stat?.size);
  },
  fetchBlob: async (upstream, random, signal) => {
    const offset = random.pick([0, 0, 1, 100]);
    const blob = await upstream.fetchBlob(NAME, DIGEST, offset, signal);
    if (!blob) return;
    expect([0, offset]).toContain(blob.offset);
    expectSize(blob.size);
    await drain(blob, signal);
  },
  listTags: async (upstream, _random, signal) => {
    const tags = await upstream.listTags(NAME, signal);
    expect(tags?.every((tag) => typeof tag === 'string' && isTag(tag)) ?? true).toBe(true);
  },
  listReferrers: async (upstream, _random, signal) => {
    const referrers = await upstream.listReferrers(NAME, DIGEST, signal);
    for (const referrer of referrers ?? []) {
      expectDescriptor(referrer);
      expect(referrer.artifactType ?? '').toBeTypeOf('string');
      expect(Object.values(referrer.annotations ?? {}).every((text) => typeof text === 'string')).toBe(true);
    }
    // It goes on to clients.
    JSON.stringify(referrers);
  },
};

describe.each(seeds())('with the seed %s', (seed) => {
  it('malformed answers are refused as an UpstreamError, and nothing is left of them', async () => {
    const before = bytesInUse();
    await runRounds(roundsOf(seed, 150), 16, async (random) => {
      const name = random.pick(Object.keys(CALLS));
      await using server = await RawServer.start((asked) => randomAnswer(random, asked, server.url));
      const upstream = connect(server.url, random);
      try {
        await expectSettled(name, (signal) => CALLS[name]!(upstream, random, signal));
      } finally {
        await upstream.close();
      }
      await patiently(server.abandoned(), 'a connection stays open');
    });
    expect(bytesInUse() - before).toBeLessThan(64 * MIB);
  });
});

function connect(url: string, random: Random): RegistryUpstream {
  return new RegistryUpstream({
    name: 'raw',
    url: new URL(random.pick(['', '/below/']), url),
    credentials: credentialsFrom(undefined),
    allowedRealms: [],
    allowedRedirects: [],
    maxConnections: 4,
    connectTimeoutMs: 300,
    headersTimeoutMs: 300,
    bodyTimeoutMs: 300,
    userAgent: 'entrepot/test',
  });
}

async function expectSettled(name: string, call: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(new Error('that is enough')), ENOUGH_MS);
  try {
    await patiently(call(enough.signal), 'it hangs');
  } catch (error) {
    if (enough.signal.aborted && error === enough.signal.reason) return;
    if (!(error instanceof UpstreamError)) throw new Error(`${name}: ${String(error)}`, { cause: error });
    // It goes into a log line.
    expect(error.message.length).toBeLessThan(2000);
  } finally {
    clearTimeout(timer);
  }
}

async function patiently(work: Promise<void>, complaint: string): Promise<void> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(complaint)), ENOUGH_MS + PATIENCE_MS);
  try {
    await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** To its end, or until it breaks, as whoever reads it has to expect; never for ever. */
async function drain({ body }: UpstreamBlob, signal: AbortSignal): Promise<void> {
  let length = 0;
  const stop = () => body.destroy(signal.reason as Error);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  try {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > ENOUGH_BYTES) break;
    }
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  } finally {
    signal.removeEventListener('abort', stop);
  }
  expect(await Array.fromAsync(body).catch(() => [])).toEqual([]);
}

function randomReference(random: Random): Reference {
  return parseReference(random.pick(['latest', DIGEST, `sha512:${'a'.repeat(128)}`]));
}

function expectDescriptor({ digest, mediaType, size }: Descriptor, reference?: Reference): void {
  expect(isDigest(digest)).toBe(true);
  expect(mediaType).toMatch(/\//);
  expectSize(size);
  if (reference?.kind === 'digest') expect(digest).toBe(reference.digest);
}

function expectManifest(manifest: Manifest, reference: Reference): void {
  const { descriptor, bytes } = manifest;
  expectDescriptor(descriptor, reference);
  expect(digestOf(bytes, algorithmOf(descriptor.digest))).toBe(descriptor.digest);
  expect(bytes.length).toBe(descriptor.size);
  expect(bytes.length).toBeLessThanOrEqual(MAX_MANIFEST_BYTES);
  expect(linksOf(manifest).blobs.every(isDigest)).toBe(true);
  JSON.stringify(asReferrer(manifest));
}

function expectSize(size: number | undefined): void {
  expect(size === undefined || (Number.isSafeInteger(size) && size >= 0)).toBe(true);
}
