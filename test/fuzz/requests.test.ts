/** Malformed requests at the real socket: each is answered as HTTP and the OCI have it, and harms nobody. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, head } from '../support/http.ts';
import { buildImage, randomBytes, type Image } from '../support/images.ts';
import { expectNoLeaks } from '../support/leaks.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { exchange } from './support/connection.ts';
import { randomRequests, type Targets } from './support/http-requests.ts';
import { readResponses, type WireResponse } from './support/http-responses.ts';
import { bytesInUse } from './support/memory.ts';
import { roundsOf, runRounds, seeds } from './support/rounds.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const STATUSES: ReadonlySet<number> = new Set([200, 206, 304, 400, 403, 404, 405, 408, 416, 431]);
const HEADERS: ReadonlySet<string> = new Set([
  ...[
    'accept-ranges',
    'allow',
    'connection',
    'content-length',
    'content-range',
    'content-type',
    'date',
    'etag',
  ],
  ...[
    'docker-content-digest',
    'x-entrepot-instance',
    'x-request-id',
    'docker-distribution-api-version',
    'keep-alive',
    'link',
    'oci-filters-applied',
  ],
  ...['oci-namespace', 'x-content-type-options'],
]);
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const DIGEST = '(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})';
/** All that a registry may be asked for, by the grammar of the distribution-spec, written down a second time. */
const ENDPOINT = new RegExp(
  `^/v2/${COMPONENT}(?:/${COMPONENT})*/(?:manifests/(?:\\w[\\w.-]{0,127}|${DIGEST})|blobs/${DIGEST}|tags/list|referrers/${DIGEST})$`,
);
const LAID_DOWN =
  /^(?:lock|index\.sqlite(?:-wal|-shm|\.reserve)?|blobs\/v1\/sha(?:256|512)\/[a-f0-9]{2}\/[a-f0-9]+|spool\/[\w-]+|repositories\/.*)$/;
/** Between two looks at what the mirror has become. */
const BATCH = 250;

interface World {
  readonly upstream: ScriptedUpstream;
  readonly mirror: RunningMirror;
  readonly image: Image;
  /** Every body that may be sent, by its digest. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly targets: Targets;
}

describe.each(seeds())('with the seed %s', (seed) => {
  it('malformed requests are answered or refused, and the next pull is right', async () => {
    await using directory = await tempDir();
    const dataDir = join(directory.path, 'data');
    await using upstream = await ScriptedUpstream.start({ pullLimit: false });
    const before = bytesInUse();
    await expectNoLeaks(dataDir, async () => {
      await using mirror = await startMirror({ upstreamUrl: upstream.url, dataDir });
      const world = fill(upstream, mirror);
      await pull(world);
      const rounds = roundsOf(seed, 700);
      for (let start = 0; start < rounds.length; start += BATCH) {
        upstream.reset();
        await runRounds(rounds.slice(start, start + BATCH), 16, async (random) => {
          const bytes = randomRequests(random, world.targets);
          const received = await exchange(mirror.url, Buffer.from(bytes, 'latin1'));
          try {
            for (const response of readResponses(received)) expectProper(response, world.contents);
          } catch (cause) {
            throw new Error(`${(cause as Error).message}\nto ${JSON.stringify(bytes.slice(0, 2000))}`, {
              cause,
            });
          }
        });
        expectProperQuestions(upstream);
        expect(mirror.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
        await pull(world);
      }
    });
    expect(await readdir(directory.path)).toEqual(['data']);
    const files = await readdir(dataDir, { recursive: true, withFileTypes: true });
    const paths = files.filter((file) => !file.isDirectory()).map((file) => join(file.parentPath, file.name));
    expect(
      paths.map((path) => path.slice(dataDir.length + 1)).filter((path) => !LAID_DOWN.test(path)),
    ).toEqual([]);
    expect(bytesInUse() - before).toBeLessThan(64 * MIB);
  });
});

function fill(upstream: ScriptedUpstream, mirror: RunningMirror): World {
  const image = buildImage({
    layers: [randomBytes('layer', MIB), randomBytes('small', 100), new Uint8Array()],
  });
  const signature = buildImage({ seed: 'signature', subject: image.manifest, layers: 1 });
  upstream.push(REPOSITORY, '3', image);
  upstream.push(REPOSITORY, 'sig', signature);
  for (const tag of ['1', '2', 'a', 'b']) upstream.tag(REPOSITORY, tag, image.manifest.digest);
  const all = [image, signature].flatMap(({ manifest, blobs }) => [manifest, ...blobs]);
  const contents = new Map<string, Uint8Array>(all.map(({ digest, bytes }) => [digest, bytes]));
  const digests = [...contents.keys()];
  const below = [
    ...['manifests/3', 'manifests/none', 'tags/list', `referrers/${image.manifest.digest}`],
    ...digests.flatMap((digest) => [`blobs/${digest}`, `manifests/${digest}`]),
  ];
  const paths = [...below.map((path) => `${REPOSITORY}/${path}`), `no/such/${below[0]!}`, '_catalog', ''];
  return { upstream, mirror, image, contents, targets: { paths, digests } };
}

function expectProper(response: WireResponse, contents: ReadonlyMap<string, Uint8Array>): void {
  const { status, headers, body, isCutShort } = response;
  expect(STATUSES).toContain(status);
  expect([...headers.keys()].filter((name) => !HEADERS.has(name))).toEqual([]);
  if (status >= 400) {
    expect(headers.get('content-type')).toBe('application/json');
    expect(Number(headers.get('content-length'))).toBeGreaterThan(0);
    if (body.length === 0 || isCutShort) return;
    const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
    expect(errors[0]?.code).toMatch(/^[A-Z_]+$/);
    expect(errors[0]?.message).toMatch(/\w/);
    return;
  }
  const content = contents.get(headers.get('docker-content-digest') ?? '');
  if (!content || body.length === 0) return;
  const [, first = '0'] = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '') ?? [];
  const start = Number(first);
  if (status === 200 && !isCutShort) expect(body.length).toBe(content.length);
  expect(body.equals(content.subarray(start, start + body.length))).toBe(true);
}

/** Upstream hears of nothing that the grammar refuses, and nothing of what clients sent besides. */
function expectProperQuestions(upstream: ScriptedUpstream): void {
  const asked = upstream.requests.filter(({ origin }) => origin === 'registry');
  expect(asked.filter(({ path }) => !ENDPOINT.test(path))).toEqual([]);
  expect(asked.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);
  const foreign = asked.filter(
    ({ headers }) =>
      !/^(?:Bearer token-.*)?$/.test(headers.authorization ?? '') ||
      // Ours, and never one that a client made up.
      !/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/.test(String(headers['x-request-id'])) ||
      Object.keys(headers).some(
        (name) =>
          !/^(?:host|connection|accept|accept-encoding|user-agent|authorization|range|x-request-id)$/.test(
            name,
          ),
      ),
  );
  expect(foreign).toEqual([]);
}

async function pull({ mirror, image }: World): Promise<void> {
  const v2 = `${mirror.url}/v2/${REPOSITORY}`;
  const { status, headers } = await head(`${v2}/manifests/3`);
  expect([status, headers['docker-content-digest']]).toEqual([200, image.manifest.digest]);
  expect((await get(`${v2}/manifests/${image.manifest.digest}`)).body.equals(image.manifest.bytes)).toBe(
    true,
  );
  for (const { digest } of image.blobs) {
    expect(digestOf((await get(`${v2}/blobs/${digest}`)).body)).toBe(digest);
  }
}
