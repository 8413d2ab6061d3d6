/** What a pull costs upstream, by tag and by digest, cold, warm, past the TTL and unplugged. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, jsonOf } from '../support/http.ts';
import { buildImage, buildIndex, type Image } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const time = movableClock();
const given = useMirror({ now: time.now });
const MANIFEST_GET = { kind: 'manifest', method: 'GET', status: 200 } as const;
const MANIFEST_HEAD = { kind: 'manifest', method: 'HEAD', status: 200 } as const;

const manifestUrl = (mirror: RunningMirror, reference: string, repository = REPOSITORY) =>
  `${mirror.url}/v2/${repository}/manifests/${reference}`;

/** As dockerd does: HEAD the tag, GET the manifest by digest, GET what it needs. */
async function pull(
  mirror: RunningMirror,
  image: Image,
  tag = 'latest',
  repository = REPOSITORY,
): Promise<void> {
  const resolved = await head(manifestUrl(mirror, tag, repository));
  expect([resolved.status, resolved.headers['docker-content-digest']]).toEqual([200, image.manifest.digest]);
  const manifest = await get(manifestUrl(mirror, image.manifest.digest, repository));
  expect(digestOf(manifest.body)).toBe(image.manifest.digest);
  for (const { digest } of [image.config, ...image.layers]) {
    const blob = await get(`${mirror.url}/v2/${repository}/blobs/${digest}`);
    expect(digestOf(blob.body)).toBe(digest);
  }
}

describe('a whole pull', () => {
  it('costs, cold, one free HEAD, one GET of the manifest and one GET a blob; warm, nothing', async () => {
    const { upstream, mirror } = given;
    const image = buildImage({ layers: 4, layerSize: 50_000 });
    upstream.push(REPOSITORY, 'latest', image);
    const pullsBefore = upstream.remainingPulls;

    await pull(mirror, image);
    expect(upstream.count(MANIFEST_HEAD)).toBe(1);
    expect(upstream.count(MANIFEST_GET)).toBe(1);
    expect(upstream.count({ kind: 'cdn', method: 'GET' })).toBe(image.layers.length + 1);
    expect(upstream.count({ kind: 'token' })).toBe(1);
    expect(pullsBefore - upstream.remainingPulls).toBe(1);
    upstream.reset();

    await pull(mirror, image);
    expect(upstream.requests).toEqual([]);
  });

  it('works with upstream unplugged, by tag past its TTL too, and says that it is stale', async () => {
    const { upstream, mirror } = given;
    const image = buildImage({ layers: 2 });
    upstream.push(REPOSITORY, 'latest', image);
    await pull(mirror, image);
    await upstream.stop();

    await pull(mirror, image);
    time.pass(24 * 3600_000);
    await pull(mirror, image);
    expect(mirror.log.filter(({ source }) => source === 'stale')).toHaveLength(1);
  });

  it('works after a restart with upstream unplugged, from what lies on disk', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await startMirror({ upstreamUrl: upstream.url });
    const image = buildImage({ layers: 2 });
    upstream.push(REPOSITORY, 'latest', image);
    await pull(first, image);
    await first.app.close();
    await upstream.stop();

    await using second = await startMirror({ upstreamUrl: upstream.url, dataDir: first.dataDir });
    await pull(second, image);
    await second.close();
  });

  it('of an index takes only the platform that was asked for', async () => {
    const { upstream, mirror } = given;
    const amd64 = buildImage({ seed: 'amd64', architecture: 'amd64' });
    const arm64 = buildImage({ seed: 'arm64', architecture: 'arm64' });
    const index = buildIndex([
      { image: amd64, platform: { os: 'linux', architecture: 'amd64' } },
      { image: arm64, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    upstream.push(REPOSITORY, 'latest', index);
    const top = await get(manifestUrl(mirror, 'latest'));
    expect(digestOf(top.body)).toBe(index.manifest.digest);
    await pull(mirror, amd64, amd64.manifest.digest);
    expect(upstream.count({ ...MANIFEST_GET, reference: arm64.manifest.digest })).toBe(0);
    expect(upstream.count(MANIFEST_GET)).toBe(2);
  });
});

describe('a tag', () => {
  it('costs nothing inside its TTL and one HEAD after it, however many ask', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, 'latest', image);
    await get(manifestUrl(mirror, 'latest'));
    upstream.reset();

    time.pass(59_999);
    await get(manifestUrl(mirror, 'latest'));
    expect(upstream.requests).toEqual([]);

    time.pass(2);
    const gate = upstream.hold({ kind: 'manifest', method: 'HEAD' });
    const answers = Array.from({ length: 50 }, () => get(manifestUrl(mirror, 'latest')));
    await gate.waiting;
    gate.release();
    for (const answer of await Promise.all(answers))
      expect(digestOf(answer.body)).toBe(image.manifest.digest);
    expect(upstream.count()).toBe(1);
    expect(upstream.count(MANIFEST_HEAD)).toBe(1);
    expect(mirror.log.some(({ source }) => source === 'revalidated')).toBe(true);
  });

  it('that moved is followed with one HEAD and one GET of the new digest', async () => {
    const { upstream, mirror } = given;
    const [before, after] = [buildImage({ seed: 1 }), buildImage({ seed: 2 })];
    upstream.push(REPOSITORY, 'latest', before);
    await get(manifestUrl(mirror, 'latest'));
    upstream.push(REPOSITORY, 'latest', after);
    upstream.reset();
    time.pass(61_000);
    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(after.manifest.digest);
    expect([upstream.count(MANIFEST_HEAD), upstream.count(MANIFEST_GET)]).toEqual([1, 1]);

    // And back: the old one is known, a HEAD is enough.
    upstream.tag(REPOSITORY, 'latest', before.manifest.digest);
    upstream.reset();
    time.pass(61_000);
    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(before.manifest.digest);
    expect([upstream.count(MANIFEST_HEAD), upstream.count(MANIFEST_GET)]).toEqual([1, 0]);
  });

  it('that moved is served as it was while the new image can not be had, and followed when it can', async () => {
    const { upstream, mirror } = given;
    const [before, after] = [buildImage({ seed: 1 }), buildImage({ seed: 2 })];
    upstream.push(REPOSITORY, 'latest', before);
    await get(manifestUrl(mirror, 'latest'));
    upstream.push(REPOSITORY, 'latest', after);
    time.pass(61_000);
    upstream.reply({ kind: 'manifest', method: 'GET' }, { status: 500, body: new Uint8Array() }, 4);
    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(before.manifest.digest);
    const stale = mirror.log.find(({ source }) => source === 'stale');
    expect(stale).toMatchObject({ level: 'warn', status: 200 });
    expect(JSON.stringify(stale?.['err'])).toContain('500');

    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(after.manifest.digest);
    time.pass(61_000);
    await upstream.stop();
    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(after.manifest.digest);
  });

  it('that only a HEAD has seen move keeps the image that is here for when upstream is away', async () => {
    const { upstream, mirror } = given;
    const [before, after] = [buildImage({ seed: 1 }), buildImage({ seed: 2 })];
    upstream.push(REPOSITORY, 'latest', before);
    await get(manifestUrl(mirror, 'latest'));
    upstream.push(REPOSITORY, 'latest', after);
    time.pass(61_000);
    const moved = await head(manifestUrl(mirror, 'latest'));
    expect(moved.headers['docker-content-digest']).toBe(after.manifest.digest);
    upstream.reset();
    await head(manifestUrl(mirror, 'latest'));
    expect(upstream.requests).toEqual([]);

    await upstream.stop();
    time.pass(61_000);
    expect(digestOf((await get(manifestUrl(mirror, 'latest'))).body)).toBe(before.manifest.digest);
    const answer = await head(manifestUrl(mirror, 'latest'));
    expect(answer.headers['docker-content-digest']).toBe(before.manifest.digest);
  });

  it('that a client followed by digest, as dockerd does, has moved here too, and after a restart', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await startMirror({ upstreamUrl: upstream.url, now: time.now });
    const [before, after] = [buildImage({ seed: 1 }), buildImage({ seed: 2 })];
    upstream.push(REPOSITORY, 'latest', before);
    await pull(first, before);
    upstream.push(REPOSITORY, 'latest', after);
    time.pass(61_000);
    await pull(first, after);
    await first.app.close();
    await upstream.stop();
    await using second = await startMirror({ upstreamUrl: upstream.url, dataDir: first.dataDir });
    await pull(second, after);
    await second.close();
  });

  it('that moved when no pull is left stays what it was, for those who ask by HEAD first too', async () => {
    const { upstream, mirror } = given;
    const [before, after] = [buildImage({ seed: 1 }), buildImage({ seed: 2 })];
    upstream.push(REPOSITORY, 'latest', before);
    await pull(mirror, before);
    upstream.push(REPOSITORY, 'latest', after);
    upstream.remainingPulls = 0;
    time.pass(61_000);
    await pull(mirror, before);
    upstream.remainingPulls = 10;
    time.pass(61_000);
    await pull(mirror, after);
  });

  it('is not forgotten because our own password is wrong, and the log says why it is stale', async () => {
    await using directory = await tempDir();
    const passwordFile = join(directory.path, 'password');
    await writeFile(passwordFile, 'right');
    const credentials = { username: 'mirror', password: 'right' };
    await using upstream = await ScriptedUpstream.start({ credentials, tokenLifetimeSeconds: 60 });
    const env = { ENTREPOT_UPSTREAM_USERNAME: 'mirror', ENTREPOT_UPSTREAM_PASSWORD_FILE: passwordFile };
    await using mirror = await startMirror({ upstreamUrl: upstream.url, now: time.now, env });
    const image = buildImage();
    upstream.push(REPOSITORY, 'latest', image);
    await pull(mirror, image);

    await writeFile(passwordFile, '');
    time.pass(61_000);
    await pull(mirror, image);
    await writeFile(passwordFile, 'wrong');
    upstream.expireTokens();
    time.pass(61_000);
    await pull(mirror, image);
    const stale = mirror.log.filter(({ source, level }) => source === 'stale' && level === 'warn');
    expect(stale.map((line) => JSON.stringify(line['err']))).toEqual([
      expect.stringContaining('no credentials in'),
      expect.stringContaining('password is wrong'),
    ]);
    const unknown = await get(manifestUrl(mirror, 'unknown'));
    expect([unknown.status, jsonOf(unknown)]).toMatchObject([503, { errors: [{ code: 'UNAVAILABLE' }] }]);
  });

  it('asked for cold by 50 clients at once costs one HEAD and one GET', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, 'latest', image);
    const answers = await Promise.all(Array.from({ length: 50 }, () => get(manifestUrl(mirror, 'latest'))));
    for (const answer of answers) expect(digestOf(answer.body)).toBe(image.manifest.digest);
    expect([upstream.count(MANIFEST_HEAD), upstream.count(MANIFEST_GET)]).toEqual([1, 1]);
  });

  it('that only HEADs ask for never costs a GET', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, 'latest', buildImage());
    await head(manifestUrl(mirror, 'latest'));
    await head(manifestUrl(mirror, 'latest'));
    expect([upstream.count(MANIFEST_HEAD), upstream.count({ method: 'GET', kind: 'manifest' })]).toEqual([
      1, 0,
    ]);
  });

  it('that was deleted or made private upstream stops being served', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, 'gone', buildImage({ seed: 1 }));
    upstream.push('team/secret', 'latest', buildImage({ seed: 2 }));
    await get(manifestUrl(mirror, 'gone'));
    await get(manifestUrl(mirror, 'latest', 'team/secret'));
    upstream.deleteTag(REPOSITORY, 'gone');
    upstream.makePrivate('team/secret');
    time.pass(61_000);
    expect((await get(manifestUrl(mirror, 'gone'))).status).toBe(404);
    const denied = await get(manifestUrl(mirror, 'latest', 'team/secret'));
    expect([denied.status, jsonOf(denied)]).toMatchObject([403, { errors: [{ code: 'DENIED' }] }]);

    // And not either when upstream is away after that.
    await upstream.stop();
    expect((await get(manifestUrl(mirror, 'gone'))).status).toBe(503);
  });

  it('is served as it was known while upstream is failing, and 429 and 5xx are failing', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, 'latest', image);
    await get(manifestUrl(mirror, 'latest'));
    for (const status of [429, 500, 503]) {
      time.pass(61_000);
      upstream.reply({ kind: 'manifest' }, { status, headers: {}, body: new Uint8Array() });
      const answer = await get(manifestUrl(mirror, 'latest'));
      expect([status, answer.status, digestOf(answer.body)]).toEqual([status, 200, image.manifest.digest]);
    }
    expect(mirror.log.filter(({ source }) => source === 'stale')).toHaveLength(3);
  });
});

describe('a manifest', () => {
  it('known from another repository is proved by a HEAD and costs no GET', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    upstream.push('team/one', 'latest', image);
    upstream.push('team/two', 'latest', image);
    await get(manifestUrl(mirror, 'latest', 'team/one'));
    upstream.reset();
    const { digest } = image.manifest;
    expect((await get(manifestUrl(mirror, digest, 'team/two'))).status).toBe(200);
    expect([upstream.count(MANIFEST_HEAD), upstream.count(MANIFEST_GET)]).toEqual([1, 0]);
    upstream.pushBlob('team/three', Buffer.from('x'));
    expect((await get(manifestUrl(mirror, digest, 'team/three'))).status).toBe(404);
    expect((await head(manifestUrl(mirror, digest, 'team/three'))).status).toBe(404);
  });

  it('that is not what its digest says is refused, not kept, and the next try works', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    upstream.push(REPOSITORY, 'latest', image);
    upstream.fault(
      { kind: 'manifest', method: 'GET' },
      { body: (bytes) => Buffer.concat([bytes, Buffer.from(' ')]) },
    );
    const url = manifestUrl(mirror, image.manifest.digest);
    const refused = await get(url);
    expect([refused.status, jsonOf(refused)]).toMatchObject([502, { errors: [{ code: 'UNAVAILABLE' }] }]);
    expect(digestOf((await get(url)).body)).toBe(image.manifest.digest);
  });
});
