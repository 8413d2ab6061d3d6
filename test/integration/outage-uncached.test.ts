/** What is not cached gets the honest status: never one that blames us, and never one that asks for a password. */
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, jsonOf } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { expectError } from '../support/oci-error.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const REJECTED = digestOf(Buffer.from('nothing has this digest'));
/** As many as any test asks. */
const ALWAYS = 1000;

const image = buildImage();
const PATHS = [
  'manifests/3',
  `manifests/${image.manifest.digest}`,
  `blobs/${image.config.digest}`,
  'tags/list',
  `referrers/${REJECTED}`,
];

describe('whatever upstream answers for what is not cached', () => {
  const time = movableClock();
  const given = useMirror({ now: time.now, scripted: { auth: 'none', cdn: false } });
  beforeEach(() => given.upstream.push(REPOSITORY, '3', image));

  const WORST: readonly (readonly [number, number])[] = [
    [204, 502],
    [304, 502],
    [400, 502],
    [401, 403],
    [402, 502],
    [403, 403],
    [404, 404],
    [405, 502],
    [406, 502],
    [408, 503],
    [410, 502],
    [418, 502],
    [429, 429],
    [451, 502],
    [500, 503],
    [501, 503],
    [502, 503],
    [503, 503],
    [504, 503],
    [507, 503],
    [520, 503],
    [599, 503],
  ];

  it.each(WORST)('is %d, the client hears %d, in the OCI form and with a reason', async (said, heard) => {
    given.upstream.reply({}, { status: said, headers: { 'content-length': undefined } }, ALWAYS);
    for (const path of PATHS) {
      const answer = await get(`${given.v2}/${REPOSITORY}/${path}`);
      // Of referrers it means that there is no such API: then there are none.
      const isNoApi = path.startsWith('referrers') && [400, 401, 403, 404, 405, 501].includes(said);
      if (isNoApi && answer.status === 200) continue;
      expect([path, answer.status]).toEqual([path, heard]);
      expect(answer.headers['www-authenticate']).toBeUndefined();
      expect(jsonOf(answer)).toMatchObject({
        errors: [{ message: expect.stringMatching(/\w+ \w+/) as string }],
      });
      const headed = await head(`${given.v2}/${REPOSITORY}/${path}`);
      expect([path, headed.status]).toEqual([path, heard]);
      // Each is asked, whatever the one before has heard.
      time.pass(60_000);
    }
  });
});

describe('a pull limit that is reached', () => {
  const time = movableClock();
  const given = useMirror({ now: time.now });
  const refused = (retryAfter: string) =>
    errorReply(429, 'TOOMANYREQUESTS', 'slow down', { 'retry-after': retryAfter });

  it('is passed on with what is left of its time, and not asked about before that', async () => {
    const { upstream, mirror, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    upstream.reply({ kind: 'manifest', method: 'GET' }, refused('100'));
    const url = `${v2}/${REPOSITORY}/manifests/${image.manifest.digest}`;
    const first = await get(url);
    expectError(first, 429, 'TOOMANYREQUESTS');
    expect(first.headers['retry-after']).toBe('100');
    const asked = upstream.count();
    for (const left of ['60', '20', '1']) {
      time.pass(left === '1' ? 19_500 : 40_000);
      const again = await get(url);
      expectError(again, 429, 'TOOMANYREQUESTS');
      expect(again.headers['retry-after']).toBe(left);
    }
    expect(upstream.count()).toBe(asked);
    const labels = `kind="manifest",method="GET",outcome="paused",host="${new URL(upstream.url).host}"`;
    expect(await mirror.metric(`entrepot_upstream_requests_total{${labels}}`)).toBe(3);
    time.pass(500);
    expect((await get(url)).body).toEqual(image.manifest.bytes);
  });

  it('that upstream names in hours is tried now and then all the same', async () => {
    const { upstream, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    upstream.reply({ kind: 'manifest', method: 'GET' }, refused('20000'));
    const url = `${v2}/${REPOSITORY}/manifests/${image.manifest.digest}`;
    expect((await get(url)).headers['retry-after']).toBe('20000');
    time.pass(5 * 60_000 - 1);
    const still = await get(url);
    expect([still.status, still.headers['retry-after']]).toEqual([429, '19701']);
    time.pass(1);
    expect((await get(url)).body).toEqual(image.manifest.bytes);
  });

  it('without a time is asked about each time', async () => {
    const { upstream, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    upstream.reply({ kind: 'manifest', method: 'GET' }, errorReply(429, 'TOOMANYREQUESTS'));
    const url = `${v2}/${REPOSITORY}/manifests/${image.manifest.digest}`;
    const answer = await get(url);
    expectError(answer, 429, 'TOOMANYREQUESTS');
    expect(answer.headers['retry-after']).toBeUndefined();
    expect((await get(url)).body).toEqual(image.manifest.bytes);
  });

  it('of manifests leaves blobs alone, and what is cached', async () => {
    const { upstream, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    expect((await get(`${v2}/${REPOSITORY}/manifests/3`)).status).toBe(200);
    upstream.reply({ kind: 'manifest' }, refused('1000'), ALWAYS);
    const other = buildImage({ seed: 'other' });
    upstream.push(REPOSITORY, 'other', other);
    expectError(await get(`${v2}/${REPOSITORY}/manifests/other`), 429, 'TOOMANYREQUESTS');
    const blob = await get(`${v2}/${REPOSITORY}/blobs/${image.config.digest}`);
    expect(blob.body).toEqual(image.config.bytes);
    time.pass(61_000);
    expect((await get(`${v2}/${REPOSITORY}/manifests/3`)).body).toEqual(image.manifest.bytes);
  });
});
