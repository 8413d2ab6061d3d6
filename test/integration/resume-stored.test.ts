/** A stored blob fails its reader in the middle: the rest comes from upstream, and the client never notices. */
import { mkdir, rename, rm, stat, symlink, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, open, type OpenResponse, type Response } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
/** More than what sockets hold between the mirror and a client that reads nothing. */
const SIZE = 32 * MIB;
const REPOSITORY = 'library/alpine';
/** Read by the client before something happens to the file. */
const BEGINNING = 1000;

const bytes = randomBytes('stored', SIZE);
const time = movableClock();
const given = useMirror({ now: time.now });

const urlOf = (digest: Digest) => `${given.v2}/${REPOSITORY}/blobs/${digest}`;
const lost = (mirror: RunningMirror) => mirror.metric('entrepot_lost_blobs_total');

function pathOf({ dataDir }: RunningMirror, digest: Digest): string {
  const hex = hexOf(digest);
  return join(dataDir, 'blobs', 'v1', 'sha256', hex.slice(0, 2), hex);
}

/** In the store, and nothing counted so far. */
async function store(content = bytes): Promise<Digest> {
  const { upstream, mirror } = given;
  const before = await mirror.metric('entrepot_downloads_total{outcome="stored"}');
  const digest = upstream.pushBlob(REPOSITORY, content);
  expect(digestOf((await get(urlOf(digest))).body)).toBe(digest);
  const stored = () => mirror.metric('entrepot_downloads_total{outcome="stored"}');
  await expect.poll(stored).toBe(before + 1);
  upstream.reset();
  return digest;
}

async function begin(digest: Digest, range?: string): Promise<OpenResponse> {
  const client = await open(urlOf(digest), range === undefined ? {} : { range });
  expect((await client.read(BEGINNING)).length).toBe(BEGINNING);
  return client;
}

async function restOf(client: OpenResponse): Promise<Buffer> {
  const { body, isCutShort } = await client.rest();
  expect(isCutShort).toBe(false);
  return body;
}

function expectWhole({ status, body, isCutShort }: Response, digest: Digest): void {
  expect({ status, digest: digestOf(body), isCutShort }).toEqual({ status: 200, digest, isCutShort: false });
}

describe('a stored blob that is cut short while it is being served', () => {
  it.each([
    ['in the middle', SIZE / 2],
    ['before its last byte', SIZE - 1],
  ])('%s goes on from upstream, is counted, and is whole for the next one', async (_, length) => {
    const { upstream, mirror } = given;
    const digest = await store();
    const client = await begin(digest);
    await truncate(pathOf(mirror, digest), length);
    expect((await restOf(client)).equals(bytes.subarray(BEGINNING))).toBe(true);
    expect(await lost(mirror)).toBe(1);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    expect(mirror.log).toContainEqual(
      expect.objectContaining({
        level: 'error',
        digest,
        msg: expect.stringContaining('cut short') as string,
      }),
    );
    await expect.poll(async () => (await stat(pathOf(mirror, digest))).size).toBe(SIZE);
    await upstream.stop();
    expectWhole(await get(urlOf(digest)), digest);
  });

  it('goes on for all that are being served, by one download', async () => {
    const { upstream, mirror } = given;
    const digest = await store();
    const clients = await Promise.all(Array.from({ length: 4 }, () => begin(digest)));
    const ranged = await begin(digest, `100-${SIZE - 11}`);
    await truncate(pathOf(mirror, digest), SIZE / 2);
    const bodies = await Promise.all([...clients, ranged].map(restOf));
    for (const body of bodies.slice(0, -1)) expect(body.equals(bytes.subarray(BEGINNING))).toBe(true);
    expect(bodies.at(-1)?.equals(bytes.subarray(100 + BEGINNING, SIZE - 10))).toBe(true);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('ends broken off, and never well, where upstream is away', async () => {
    const { upstream, mirror } = given;
    const digest = await store();
    const client = await begin(digest);
    await upstream.stop();
    await truncate(pathOf(mirror, digest), SIZE / 2);
    const { body, isCutShort } = await client.rest();
    expect(isCutShort).toBe(true);
    expect(body.equals(bytes.subarray(BEGINNING, BEGINNING + body.length))).toBe(true);
    expectError(await get(urlOf(digest)), 503, 'UNAVAILABLE');
    await upstream.restart();
    time.pass(15_000);
    expectWhole(await get(urlOf(digest)), digest);
  });
});

describe('a stored blob that is removed', () => {
  it('while it is being served is served to its end, and fetched for the next one', async () => {
    const { upstream, mirror } = given;
    const digest = await store();
    const client = await begin(digest);
    await rm(pathOf(mirror, digest));
    expect((await restOf(client)).equals(bytes.subarray(BEGINNING))).toBe(true);
    expect([await lost(mirror), upstream.count()]).toEqual([0, 0]);
    expectWhole(await get(urlOf(digest)), digest);
    expect([await lost(mirror), upstream.count({ kind: 'cdn' })]).toEqual([1, 1]);
  });

  it('and asked for by HEAD and by Range is there all the same', async () => {
    const { mirror } = given;
    const digest = await store(bytes.subarray(0, MIB));
    await rm(pathOf(mirror, digest));
    const headed = await head(urlOf(digest));
    expect([headed.status, headed.headers['content-length']]).toEqual([200, String(MIB)]);
    const part = await get(urlOf(digest), { range: '1000-1999' });
    expect([part.status, part.body.equals(bytes.subarray(1000, 2000))]).toEqual([206, true]);
    expect(await lost(mirror)).toBe(1);
  });
});

describe('a stored blob that can not be read', () => {
  it.each([
    ['because a loop of links is in its place', (path: string) => symlink(path, path)],
    ['because a directory is in its place', (path: string) => mkdir(path)],
  ])('%s comes from upstream', async (_, occupy) => {
    const { mirror } = given;
    const digest = await store(bytes.subarray(0, 2 * MIB));
    const path = pathOf(mirror, digest);
    await rename(path, `${path}.away`);
    await occupy(path);
    expectWhole(await get(urlOf(digest)), digest);
    expectWhole(await get(urlOf(digest)), digest);
  });
});
