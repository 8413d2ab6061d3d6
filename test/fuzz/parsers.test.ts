/** Every parser of text from outside: it answers or refuses, as it says it does, whatever it gets and however long. */
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { formatContentRange, parseContentRange, parseRange } from '../../src/lib/byte-range.ts';
import { formatDuration, parseBytes, parseDuration } from '../../src/lib/units.ts';
import { digestOf, isDigest, parseDigest } from '../../src/oci/digest.ts';
import { RegistryError } from '../../src/oci/errors.ts';
import {
  asReferrer,
  InvalidManifestError,
  linksOf,
  parseManifest,
  referrersIn,
} from '../../src/oci/manifest.ts';
import { formatReference, parseReference } from '../../src/oci/reference.ts';
import { parseRoute } from '../../src/oci/route.ts';
import { parseChallenges } from '../../src/upstream/challenge.ts';
import { nextLinkIn } from '../../src/upstream/link.ts';
import { parseRateLimit, parseRetryAfter } from '../../src/upstream/rate-limit.ts';
import type { Random } from '../support/random.ts';
import { randomManifest } from './support/json.ts';
import { mutate, NASTY } from './support/mutate.ts';
import { roundsOf, runRounds, seeds } from './support/rounds.ts';

const HEX = 'a'.repeat(64);
const SIZES = [0, 1, 2, 1000, 2 ** 40];
const LONG = 256 * 1024;
const NOW = Date.UTC(2024, 0, 1);

interface Parser {
  /** What it takes. */
  readonly good: readonly string[];
  /** Reads a text, and looks at what comes of it. */
  readonly read: (text: string, random: Random) => void;
  /** The only error that it may throw. */
  readonly refusal?: new (...args: never[]) => Error;
}

const PARSERS: Readonly<Record<string, Parser>> = {
  parseRoute: {
    good: [
      ...['/v2/', '/v2', '/v2/_catalog', '/docker.io/v2/library/alpine/manifests/3', '/v2/a/tags/list'],
      ...[`/v2/a/b--c/d__e/blobs/sha256:${HEX}`, `/v2/blobs/manifests/manifests/manifests/sha256%3A${HEX}`],
      ...[`/v2/a/referrers/sha512:${HEX}${HEX}`, '/v2/a/blobs/uploads/'],
    ],
    read: readRoute,
    refusal: RegistryError,
  },
  parseReference: {
    good: ['3', 'latest', 'v1.2-rc_3', `sha256:${HEX}`, `sha512:${HEX}${HEX}`],
    read: (text) => expect(formatReference(parseReference(text))).toBe(text),
    refusal: RegistryError,
  },
  parseDigest: {
    good: [`sha256:${HEX}`, `sha512:${HEX}${HEX}`],
    read: (text) => expect(parseDigest(text)).toMatch(/^sha(256:[a-f0-9]{64}|512:[a-f0-9]{128})$/),
    refusal: RegistryError,
  },
  parseManifest: {
    good: [
      '{"schemaVersion":2}',
      `{"schemaVersion":2,"config":{"digest":"sha256:${HEX}","size":1},"layers":[]}`,
    ],
    read: (text, random) => readManifest(random.chance(0.7) ? randomManifest(random) : text, random),
    refusal: InvalidManifestError,
  },
  parseRange: {
    good: ['bytes=0-', 'bytes=0-0', 'bytes=-5', 'bytes=5-999', 'bytes=0-1,3-4', 'bytes= 1-2 '],
    read: readRange,
  },
  parseContentRange: {
    good: ['bytes 0-0/1', 'bytes 5-9/10', 'bytes 0-1/*', 'bytes */5'],
    read: readContentRange,
  },
  parseChallenges: {
    good: [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull"',
      'Basic realm="x", Bearer realm=https://a/token , scope = "a\\"b"',
      'Negotiate dGVzdA==, Digest qop="auth", nonce=abc',
    ],
    read: readChallenges,
  },
  nextLinkIn: {
    good: [
      '</v2/a/tags/list?n=1&last=b>; rel="next"',
      '<a>; rel=prev, <b>; title="x"; rel="first next"',
      '<c>',
    ],
    read: (text) => {
      const link = nextLinkIn(text);
      if (link !== undefined) expect(text).toContain(`<${link}>`);
    },
  },
  parseRetryAfter: {
    good: ['120', '0', 'Wed, 21 Oct 2024 07:28:00 GMT', new Date(NOW).toUTCString()],
    read: (text) => {
      const seconds = parseRetryAfter(text, NOW);
      if (seconds !== undefined) expect(isCount(seconds) && seconds <= 86_400).toBe(true);
    },
  },
  parseRateLimit: {
    good: ['100;w=21600', '0', ' 200 ; w=1;comment=x'],
    read: (text) => {
      const limit = parseRateLimit({ 'ratelimit-limit': text, 'ratelimit-remaining': [text, text] }, NOW);
      expect([limit?.limit ?? 0, limit?.remaining ?? 0, limit?.windowSeconds ?? 0].every(isCount)).toBe(true);
    },
  },
  parseBytes: {
    good: ['40GiB', '500MB', '1.5 TiB', '0', '1024'],
    read: (text) => expect(isCount(parseBytes(text))).toBe(true),
    refusal: SyntaxError,
  },
  parseDuration: {
    good: ['500ms', '60s', '5m', '24h', '7d', '0', '1.5h'],
    read: (text) => {
      const ms = parseDuration(text);
      expect(isCount(ms)).toBe(true);
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    },
    refusal: SyntaxError,
  },
};

describe.each(seeds())('with the seed %s', (seed) => {
  it.each(Object.keys(PARSERS))('%s reads or refuses whatever it gets', async (name) => {
    const { good, read, refusal } = PARSERS[name]!;
    await runRounds(roundsOf(seed, 3000), 1, (random) => {
      const text = random.chance(0.05) ? random.pick(good) : mutate(random, random.pick([...good, ...NASTY]));
      try {
        read(text, random);
      } catch (error) {
        const isRefusal = refusal !== undefined && error instanceof refusal;
        // It goes into a log line; of their own configuration people may hear as much as they wrote.
        if (isRefusal && refusal !== SyntaxError) expect(error.message.length).toBeLessThan(1000);
        if (!isRefusal)
          throw new Error(`${JSON.stringify(text.slice(0, 1000))}: ${String(error)}`, { cause: error });
      }
    });
  });

  /**
   * A quarter of a mebibyte, which a linear parser reads in a millisecond or two; a quadratic one needs minutes. What
   * is met is the end of patience, a thousand times that.
   */
  it.each(Object.keys(PARSERS))('%s needs no more than linear time', async (name) => {
    const { good, read, refusal } = PARSERS[name]!;
    await runRounds(roundsOf(seed, 40), 1, (random) => {
      const text = random.pick(good);
      const start = random.below(text.length + 1);
      const pump = random.chance(0.5) ? text.slice(start, start + random.between(1, 4)) : random.pick(NASTY);
      const pumped = (pump === '' ? ' ' : pump).repeat(Math.ceil(LONG / Math.max(1, pump.length)));
      const long = text.slice(0, start) + pumped + random.pick([text.slice(start), '', '\0', '"', ' x']);
      const run = () => {
        try {
          read(long, random);
        } catch (error) {
          if (!(refusal && error instanceof refusal)) throw error;
        }
      };
      runInNewContext('run()', { run }, { timeout: 5000 });
    });
  });
});

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function readRoute(text: string): void {
  const route = parseRoute(text);
  if (!('name' in route)) return;
  expect(route.name).toMatch(/^[a-z0-9]+([._/-]+[a-z0-9]+)*$/);
  expect(route.name).not.toMatch(/\.\.|\/\/|\.\/|\/\./);
  expect(route.name.length).toBeLessThanOrEqual(255);
  expect(route.prefix ?? '').not.toMatch(/[%\\\0]/);
  // What was understood, written down, is understood the same.
  const where = `${route.prefix === undefined ? '' : `/${route.prefix}`}/v2/${route.name}`;
  const path = {
    manifest: () => `manifests/${route.kind === 'manifest' ? formatReference(route.reference) : ''}`,
    blob: () => `blobs/${'digest' in route ? route.digest : ''}`,
    referrers: () => `referrers/${'digest' in route ? route.digest : ''}`,
    tags: () => 'tags/list',
  }[route.kind];
  expect(parseRoute(`${where}/${path()}`)).toEqual(route);
}

function readManifest(text: string, random: Random): void {
  const bytes = Buffer.from(text, random.chance(0.9) ? 'utf8' : 'utf16le');
  const type = random.pick([
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.oci.image.index.v1+json; charset=utf-8',
    'application/vnd.docker.distribution.manifest.v2+json',
    'text/html',
    '',
    mutate(random, 'application/vnd.docker.distribution.manifest.list.v2+json'),
  ]);
  const index = jsonIn(text);
  for (const { digest, size } of referrersIn(index) ?? [])
    expect(isDigest(digest) && isCount(size)).toBe(true);
  const manifest = parseManifest(bytes, type, random.chance(0.1) ? digestOf(Buffer.from('x')) : undefined);
  expect(manifest.descriptor.digest).toBe(digestOf(bytes));
  expect(manifest.descriptor.mediaType).toMatch(/^[\x21-\x7e]+\/[\x21-\x7e]+$/);
  const { blobs, manifests, subject } = linksOf(manifest);
  expect([...blobs, ...manifests, ...(subject === undefined ? [] : [subject])].every(isDigest)).toBe(true);
  expect(asReferrer(manifest).artifactType ?? '').toBeTypeOf('string');
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readRange(text: string, random: Random): void {
  const size = random.pick(SIZES);
  const range = parseRange(text, size);
  if (range === undefined || range === 'unsatisfiable') return;
  expect(isCount(range.start) && isCount(range.end)).toBe(true);
  expect(range.start).toBeLessThan(range.end);
  expect(range.end).toBeLessThanOrEqual(size);
  expect(parseContentRange(formatContentRange(range, size))).toEqual({ ...range, size });
}

function readContentRange(text: string): void {
  const range = parseContentRange(text);
  if (!range) return;
  expect(range.start).toBeLessThan(range.end);
  expect(range.end).toBeLessThanOrEqual(range.size ?? range.end);
  expect([range.start, range.end, range.size ?? 0].every(isCount)).toBe(true);
}

function readChallenges(text: string): void {
  for (const { scheme, parameters } of parseChallenges(text)) {
    expect(scheme).toMatch(/^[!-~]+$/);
    for (const name of parameters.keys()) expect(name).toMatch(/^[!-~]+$/);
  }
}
