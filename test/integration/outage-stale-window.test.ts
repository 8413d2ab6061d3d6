/** For how long a tag is served that upstream can not be asked about: exactly as long as is configured. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
const WINDOW = { ENTREPOT_TAG_STALE_FOR: '1h' };

const image = buildImage();
const time = movableClock();

function expectImage({ status, body }: Response): void {
  expect([status, digestOf(body)]).toEqual([200, image.manifest.digest]);
}

const stale = ({ log }: RunningMirror) => log.filter(({ source }) => source === 'stale');

describe('a tag that upstream can not be asked about', () => {
  const given = useMirror({ now: time.now, env: WINDOW });
  const url = () => `${given.v2}/${REPOSITORY}/manifests/3`;

  it('is served until upstream last confirmed it so long ago, and refused from then on, with the reason', async () => {
    const { upstream, mirror, v2 } = given;
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url()));
    await upstream.stop();
    time.pass(HOUR_MS - 1);
    expectImage(await get(url()));
    expect((await head(url())).status).toBe(200);
    await expect.poll(() => stale(mirror)).toHaveLength(2);

    time.pass(1);
    expectError(await get(url()), 503, 'UNAVAILABLE');
    expectHeadError(await head(url()), 503);
    const refused = () => mirror.log.filter(({ status }) => status === 503);
    await expect.poll(refused).toHaveLength(2);
    for (const line of refused()) expect(JSON.stringify(line['err'])).toContain('too old');
    // What is named by its digest is never too old.
    expectImage(await get(`${v2}/${REPOSITORY}/manifests/${image.manifest.digest}`));
  });

  it('is good for as long again once upstream has confirmed it', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url()));
    await upstream.stop();
    time.pass(HOUR_MS);
    expect((await get(url())).status).toBe(503);
    await upstream.restart();
    time.pass(15_000);
    expectImage(await get(url()));
    await upstream.stop();
    time.pass(HOUR_MS - 1);
    expectImage(await get(url()));
    time.pass(1);
    expect((await get(url())).status).toBe(503);
  });

  it('is refused as the pull limit is where that is why it can not be asked about', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url()));
    time.pass(HOUR_MS);
    upstream.reply({ kind: 'manifest' }, { status: 429, headers: { 'retry-after': '30' } });
    const answer = await get(url());
    expectError(answer, 429, 'TOOMANYREQUESTS');
    expect(answer.headers['retry-after']).toBe('30');
  });

  it('is served when the clock was set back: nobody knows how old it is', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url()));
    await upstream.stop();
    time.pass(-10 * DAY_MS);
    expectImage(await get(url()));
    time.pass(10 * DAY_MS);
  });

  it('is too old as well where it has moved to an image that does not come', async () => {
    const { upstream } = given;
    const moved = buildImage({ seed: 'moved' });
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url()));
    upstream.push(REPOSITORY, '3', moved);
    upstream.reply({ kind: 'manifest', method: 'GET' }, { status: 503 }, 100);
    time.pass(HOUR_MS - 1);
    expectImage(await get(url()));
    time.pass(60_000);
    expectError(await get(url()), 503, 'UNAVAILABLE');
  });
});

describe('a mirror that serves no stale tags', () => {
  const strict = useMirror({ now: time.now, env: { ENTREPOT_TAG_STALE_FOR: '0' } });

  it('serves a tag within its TTL, and after that only what upstream confirms', async () => {
    const { upstream, v2 } = strict;
    const url = `${v2}/${REPOSITORY}/manifests/3`;
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(url));
    await upstream.stop();
    time.pass(59_000);
    expectImage(await get(url));
    time.pass(1000);
    expectError(await get(url), 503, 'UNAVAILABLE');
  });
});

describe('a mirror that has restarted with upstream away', () => {
  async function fill(upstream: ScriptedUpstream): Promise<RunningMirror> {
    const first = await startMirror({ upstreamUrl: upstream.url, now: time.now, env: WINDOW });
    upstream.push(REPOSITORY, '3', image);
    expectImage(await get(`${first.url}/v2/${REPOSITORY}/manifests/3`));
    await first.app.close();
    await upstream.stop();
    return first;
  }

  it('knows how old a tag is', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await fill(upstream);
    const options = { upstreamUrl: upstream.url, dataDir: first.dataDir, now: time.now, env: WINDOW };
    await using second = await startMirror(options);
    time.pass(HOUR_MS - 1);
    expectImage(await get(`${second.url}/v2/${REPOSITORY}/manifests/3`));
    time.pass(1);
    expect((await get(`${second.url}/v2/${REPOSITORY}/manifests/3`)).status).toBe(503);
    await second.close();
  });

  it('serves it where its index was lost and made anew: nobody knows how old it is', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await fill(upstream);
    for (const name of await readdir(first.dataDir)) {
      if (name.startsWith('index.sqlite')) await rm(join(first.dataDir, name));
    }
    time.pass(10 * DAY_MS);
    const options = { upstreamUrl: upstream.url, dataDir: first.dataDir, now: time.now, env: WINDOW };
    await using second = await startMirror(options);
    expectImage(await get(`${second.url}/v2/${REPOSITORY}/manifests/3`));
    expect(stale(second)).toHaveLength(1);
    await second.close();
  });

  it('serves it however old it is where it is switched offline', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await fill(upstream);
    const env = { ...WINDOW, ENTREPOT_OFFLINE: 'true' };
    const options = { upstreamUrl: upstream.url, dataDir: first.dataDir, now: time.now, env };
    await using second = await startMirror(options);
    time.pass(10 * DAY_MS);
    expectImage(await get(`${second.url}/v2/${REPOSITORY}/manifests/3`));
    await second.close();
  });
});
