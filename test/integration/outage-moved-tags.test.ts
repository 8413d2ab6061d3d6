/** A tag has moved to an image that upstream then can't deliver: what clients get meanwhile, and when it is asked again. */
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, request } from '../support/http.ts';
import { buildImage, type Image } from '../support/images.ts';
import { expectError } from '../support/oci-error.ts';
import { flipByte, type Fault } from '../support/scripted-upstream-faults.ts';
import { errorReply } from '../support/scripted-upstream-reply.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const PAST_TTL_MS = 61_000;
/** As many as any test asks. */
const ALWAYS = 1000;

const [before, after] = [buildImage({ seed: 'before' }), buildImage({ seed: 'after' })];
const NEW_MANIFEST = { kind: 'manifest', method: 'GET', reference: after.manifest.digest } as const;
const TAG_HEAD = { kind: 'manifest', method: 'HEAD', reference: '3', status: 200 } as const;

const time = movableClock();
const given = useMirror({ now: time.now });
const urlOf = (reference: string) => `${given.v2}/${REPOSITORY}/manifests/${reference}`;

async function expectImage(image: Image): Promise<void> {
  const { status, body } = await get(urlOf('3'));
  expect([status, digestOf(body)]).toEqual([200, image.manifest.digest]);
}

beforeEach(async () => {
  given.upstream.push(REPOSITORY, '3', before);
  await expectImage(before);
  given.upstream.push(REPOSITORY, '3', after);
  time.pass(PAST_TTL_MS);
  given.upstream.reset();
});

describe('a tag that has moved', () => {
  it('and is purged before the new image has come is asked about by the next pull', async () => {
    const { upstream, mirror } = given;
    expect((await head(urlOf('3'))).headers['docker-content-digest']).toBe(after.manifest.digest);
    // It moves once more, which nobody can know within the TTL but who asks again.
    upstream.push(REPOSITORY, '3', before);
    const purged = await request(`${mirror.adminUrl}/api/v1/purge`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ reference: `${REPOSITORY}:3` }),
    });
    expect(purged.status).toBe(200);
    await expectImage(before);
  });
});

describe('a tag that has moved to a manifest', () => {
  it('that upstream does not have is asked about again by the very next pull', async () => {
    const { upstream } = given;
    upstream.reply(NEW_MANIFEST, errorReply(404, 'MANIFEST_UNKNOWN'));
    expectError(await get(urlOf('3')), 404, 'MANIFEST_UNKNOWN');
    expect(upstream.count(TAG_HEAD)).toBe(1);
    // Somebody has put the tag right meanwhile.
    upstream.push(REPOSITORY, '3', before);
    await expectImage(before);
    expect(upstream.count(TAG_HEAD)).toBe(2);
  });

  it.each<[string, Fault]>([
    ['with other bytes', { body: flipByte(40) }],
    ['cut short', { body: (bytes) => bytes.subarray(0, 100) }],
    ['with a web page in its place', { reply: { status: 200, headers: { 'content-type': 'text/html' } } }],
  ])(
    'that upstream sends %s stays what it was, and is asked about again by the next pull',
    async (_, lie) => {
      const { upstream, mirror } = given;
      upstream.fault(NEW_MANIFEST, lie);
      await expectImage(before);
      await expect
        .poll(() => mirror.log.find(({ source }) => source === 'stale'))
        .toMatchObject({
          level: 'warn',
          reference: '3',
        });
      expect(await mirror.metric('entrepot_upstream_rejected_total{kind="manifest"}')).toBe(1);
      expect(upstream.count(TAG_HEAD)).toBe(1);
      await expectImage(after);
      expect(upstream.count(TAG_HEAD)).toBe(2);
    },
  );

  it('that a client asks for by digest, and that is not there, is no longer where the tag is said to point', async () => {
    const { upstream } = given;
    upstream.reply(NEW_MANIFEST, errorReply(404, 'MANIFEST_UNKNOWN'));
    const resolved = await head(urlOf('3'));
    expect(resolved.headers['docker-content-digest']).toBe(after.manifest.digest);
    expectError(await get(urlOf(after.manifest.digest)), 404, 'MANIFEST_UNKNOWN');
    upstream.push(REPOSITORY, '3', before);
    const again = await head(urlOf('3'));
    expect(again.headers['docker-content-digest']).toBe(before.manifest.digest);
    expect(upstream.count(TAG_HEAD)).toBe(2);
  });

  it.each<[string, Fault]>([
    ['fails', { reply: { status: 503 } }],
    ['breaks off', { cut: { by: 'rst' } }],
    ['has no pull left', { reply: errorReply(429, 'TOOMANYREQUESTS') }],
  ])('and upstream %s before it is here: the old image is served until then', async (_, fault) => {
    const { upstream, mirror } = given;
    upstream.fault(NEW_MANIFEST, fault, ALWAYS);
    await expectImage(before);
    await expectImage(before);
    await expect.poll(() => mirror.log.filter(({ source }) => source === 'stale')).toHaveLength(2);
    upstream.clearScript();
    time.pass(PAST_TTL_MS);
    await expectImage(after);
    await upstream.stop();
    await expectImage(after);
  });

  it('that came, and then upstream went: it is the new image that is served', async () => {
    const { upstream } = given;
    await expectImage(after);
    await upstream.stop();
    time.pass(PAST_TTL_MS);
    await expectImage(after);
  });
});

describe('a client that asks by HEAD first, as dockerd and containerd do', () => {
  /** What it runs: the digest that the HEAD named, if that can be had. */
  async function pull(): Promise<'before' | 'after' | 'nothing'> {
    const { headers } = await head(urlOf('3'));
    const digest = String(headers['docker-content-digest']);
    const { status } = await get(urlOf(digest));
    if (status !== 200) return 'nothing';
    return digest === before.manifest.digest ? 'before' : 'after';
  }

  it('gets the old image while upstream is away, when the tag had moved and the new image has not come', async () => {
    const { upstream } = given;
    upstream.reply(NEW_MANIFEST, { status: 503 }, ALWAYS);
    await pull();
    await upstream.stop();
    time.pass(PAST_TTL_MS);
    expect(await pull()).toBe('before');
  });

  it('gets it at once, and not only when the TTL has passed', async () => {
    const { upstream } = given;
    upstream.reply(NEW_MANIFEST, { status: 503 }, ALWAYS);
    await pull();
    await upstream.stop();
    expect(await pull()).toBe('before');
  });
});
