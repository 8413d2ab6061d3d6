/** What upstream does not have, or does not show, is no outage: it stops being served, and is remembered for a while. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import type { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'team/app';
const TAG_TTL_MS = 60_000;
const MISS_TTL_MS = 10_000;
/** As many as any test asks. */
const ALWAYS = 1000;
const MISSING = digestOf(Buffer.from('missing'));

const image = buildImage();
const time = movableClock();
const given = useMirror({ now: time.now, env: { ENTREPOT_MISS_TTL: `${MISS_TTL_MS}ms` } });

const urlOf = (path: string) => `${given.v2}/${REPOSITORY}/${path}`;
const pull = (tag: string) => get(urlOf(`manifests/${tag}`));

function expectImage({ status, body }: Response): void {
  expect([status, digestOf(body)]).toEqual([200, image.manifest.digest]);
}

const refuse = (status: number) => (upstream: ScriptedUpstream) => {
  for (const right of [200, 404, 401]) {
    upstream.reply({ origin: 'registry', status: right }, errorReply(status, 'DENIED'), ALWAYS);
  }
};

const ENDS: readonly [string, number, string, (upstream: ScriptedUpstream) => void][] = [
  ['was deleted', 404, 'MANIFEST_UNKNOWN', (upstream) => upstream.deleteTag(REPOSITORY, '1')],
  ['was made private', 403, 'DENIED', (upstream) => upstream.makePrivate(REPOSITORY)],
  ['is answered by 401', 403, 'DENIED', refuse(401)],
  ['is answered by 403', 403, 'DENIED', refuse(403)],
];

describe.each(ENDS)('a cached tag that %s', (_, status, code, end) => {
  it('is no longer served, nor when upstream is away after that', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, '1', image);
    expectImage(await pull('1'));
    end(upstream);
    expectImage(await pull('1'));
    time.pass(TAG_TTL_MS);
    expectError(await pull('1'), status, code);
    expectHeadError(await head(urlOf('manifests/1')), status);

    await upstream.stop();
    expectError(await pull('1'), status, code);
    time.pass(MISS_TTL_MS);
    expectError(await pull('1'), 503, 'UNAVAILABLE');
    expect(mirror.log.filter(({ source }) => source === 'stale')).toEqual([]);
  });

  it('is not served either by a mirror that has restarted meanwhile', async () => {
    const { upstream, mirror } = given;
    upstream.push(REPOSITORY, '1', image);
    expectImage(await pull('1'));
    end(upstream);
    time.pass(TAG_TTL_MS);
    expectError(await pull('1'), status, code);
    await upstream.stop();
    await mirror.app.close();
    await using second = await startMirror({ upstreamUrl: upstream.url, dataDir: mirror.dataDir });
    expectError(await get(`${second.url}/v2/${REPOSITORY}/manifests/1`), 503, 'UNAVAILABLE');
  });
});

describe('what upstream does not have', () => {
  it.each([
    ['manifests/none', 'MANIFEST_UNKNOWN'],
    [`manifests/${MISSING}`, 'MANIFEST_UNKNOWN'],
    [`blobs/${MISSING}`, 'BLOB_UNKNOWN'],
  ])('is asked for once in a while, however often it is wanted, by GET or HEAD: %s', async (path, code) => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '1', image);
    const refusals = () => upstream.count({ origin: 'registry', status: 404 });
    expectError(await get(urlOf(path)), 404, code);
    const asked = refusals();
    for (let round = 0; round < 5; round += 1) {
      expectError(await get(urlOf(path)), 404, code);
      expectHeadError(await head(urlOf(path)), 404);
    }
    expect([asked, refusals()]).toEqual([1, 1]);
    time.pass(MISS_TTL_MS - 1);
    await get(urlOf(path));
    expect(refusals()).toBe(1);
    time.pass(1);
    expectError(await get(urlOf(path)), 404, code);
    expect(refusals()).toBe(2);
  });

  it('is there for clients once it is there, when the time has passed', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, 'other', image);
    const bytes = Buffer.from('a late blob');
    const blob = urlOf(`blobs/${digestOf(bytes)}`);
    expectError(await pull('1'), 404, 'MANIFEST_UNKNOWN');
    expectError(await get(blob), 404, 'BLOB_UNKNOWN');
    upstream.push(REPOSITORY, '1', image);
    upstream.pushBlob(REPOSITORY, bytes);
    expectError(await pull('1'), 404, 'MANIFEST_UNKNOWN');
    expectError(await get(blob), 404, 'BLOB_UNKNOWN');
    time.pass(MISS_TTL_MS);
    expectImage(await pull('1'));
    expect((await get(blob)).body).toEqual(bytes);
  });

  it('is remembered of that name in that repository alone', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, 'other', image);
    upstream.push('team/two', '1', image);
    expectError(await pull('1'), 404, 'MANIFEST_UNKNOWN');
    expectImage(await get(`${given.v2}/team/two/manifests/1`));
    expectImage(await pull('other'));
  });

  it('is remembered too where it is denied, and shown again after that', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '1', image);
    upstream.makePrivate(REPOSITORY);
    expectError(await pull('1'), 403, 'DENIED');
    const asked = upstream.count();
    expectError(await pull('1'), 403, 'DENIED');
    expect(upstream.count()).toBe(asked);
    upstream.makePrivate(REPOSITORY, false);
    time.pass(MISS_TTL_MS);
    expectImage(await pull('1'));
  });

  it('costs one question a name when somebody tries out names, and others are served meanwhile', async () => {
    const { upstream, mirror } = given;
    const names = Array.from({ length: 300 }, (_, index) => `tag-${index}`);
    upstream.push(REPOSITORY, '1', image);
    expectImage(await pull('1'));
    upstream.reset();
    const flood = async () => {
      const answers = await Promise.all(names.map(pull));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    };
    const [, served] = await Promise.all([flood(), pull('1')]);
    expectImage(served);
    await flood();
    expect(upstream.count({ kind: 'manifest' })).toBe(names.length);
    // Nor does it fill the index.
    expect(await mirror.metric('entrepot_cache_manifests')).toBe(1);
  });
});

describe('a mirror that remembers no absence', () => {
  const forgetful = useMirror({ env: { ENTREPOT_MISS_TTL: '0' } });

  it('asks upstream each time', async () => {
    const { upstream, v2 } = forgetful;
    upstream.push(REPOSITORY, 'other', image);
    expect((await get(`${v2}/${REPOSITORY}/manifests/1`)).status).toBe(404);
    upstream.push(REPOSITORY, '1', image);
    expectImage(await get(`${v2}/${REPOSITORY}/manifests/1`));
  });
});
