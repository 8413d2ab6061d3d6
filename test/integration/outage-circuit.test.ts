/** An upstream that does not answer is left alone for a while, and asked again by one request. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import type { Fault } from '../support/scripted-upstream-faults.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';
const TAGS = ['1', '2', '3', '4', '5', '6', '7', '8'];
const PAST_TTL_MS = 61_000;
/** Longer than any circuit stays open. */
const PAST_OUTAGE_MS = 15_000;
/** As many as any test asks. */
const ALWAYS = 1000;
/** In a row; then the host is left alone. */
const FAILURES = 3;

const image = buildImage();
const time = movableClock();
const given = useMirror({
  now: time.now,
  scripted: { auth: 'none', pullLimit: false },
  env: { ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: '200ms' },
});

const pull = (tag: string) => get(`${given.v2}/${REPOSITORY}/manifests/${tag}`);

function expectImage(answers: readonly Response[]): void {
  for (const { status, body } of answers) {
    expect([status, digestOf(body)]).toEqual([200, image.manifest.digest]);
  }
}

async function pullAll(): Promise<void> {
  expectImage(await Promise.all(TAGS.map(pull)));
}

async function fill(): Promise<void> {
  for (const tag of TAGS) given.upstream.push(REPOSITORY, tag, image);
  await pullAll();
  time.pass(PAST_TTL_MS);
  // What is dropped on a connection that has served before is sent again, over another one.
  await given.upstream.restart();
  given.upstream.reset();
}

/** What clients pay for: nobody else waits for upstream after them. */
async function failOften(): Promise<void> {
  for (const tag of TAGS.slice(0, FAILURES)) expectImage([await pull(tag)]);
  expect(given.upstream.count()).toBe(FAILURES);
}

function circuit(): Promise<number> {
  const { host } = new URL(given.upstream.url);
  return given.mirror.metric(`entrepot_upstream_circuit{upstream="${host}",host="${host}"}`);
}

const linesWith = ({ log }: RunningMirror, text: string) => log.filter(({ msg }) => msg.includes(text));
const warnings = ({ log }: RunningMirror) => log.filter(({ level }) => level === 'warn');
const stale = ({ log }: RunningMirror) => log.filter(({ source }) => source === 'stale');

describe.each<[string, Fault]>([
  ['that accepts connections and says nothing', { stall: {} }],
  ['that drops every connection', { cut: { by: 'fin' } }],
  ['that answers 503', { reply: { status: 503 } }],
])('an upstream %s', (_, fault) => {
  it('is left alone after some requests: clients get what is cached and wait for nobody', async () => {
    const { upstream, mirror } = given;
    await fill();
    upstream.fault({}, fault, ALWAYS);
    await failOften();
    expect(await circuit()).toBe(2);
    for (let round = 0; round < 5; round += 1) await pullAll();
    expect(upstream.count()).toBe(FAILURES);
    await expect.poll(() => stale(mirror)).toHaveLength(FAILURES + 5 * TAGS.length);
  });

  it('is asked again by one request, while the others get what is cached, and left alone again', async () => {
    const { upstream } = given;
    await fill();
    upstream.fault({}, fault, ALWAYS);
    await failOften();
    for (let probes = 1; probes <= 3; probes += 1) {
      time.pass(PAST_OUTAGE_MS);
      await pullAll();
      await pullAll();
      expect(upstream.count()).toBe(FAILURES + probes);
      expect(await circuit()).toBe(2);
    }
  });
});

describe('an upstream that was left alone and answers again', () => {
  it('is asked by one request first, and then for everything', async () => {
    const { upstream, mirror } = given;
    await fill();
    upstream.fault({}, { cut: { by: 'fin' } }, FAILURES);
    await failOften();
    upstream.reset();
    time.pass(PAST_OUTAGE_MS);

    const gate = upstream.hold({ kind: 'manifest' });
    const probe = pull('1');
    await gate.waiting;
    expect(await circuit()).toBe(1);
    expectImage(await Promise.all(TAGS.slice(1).map(pull)));
    expect(upstream.count()).toBe(1);
    gate.release();
    expectImage([await probe]);
    expect(await circuit()).toBe(0);

    await pullAll();
    expect(upstream.count()).toBe(TAGS.length);
    await expect
      .poll(() => mirror.log.filter(({ source }) => source === 'revalidated'))
      .toHaveLength(TAGS.length);
  });

  it('is one for a host that was unplugged as well', async () => {
    const { upstream } = given;
    await fill();
    await upstream.stop();
    for (const tag of TAGS.slice(0, FAILURES)) expectImage([await pull(tag)]);
    expect(await circuit()).toBe(2);
    await upstream.restart();
    await pullAll();
    expect(upstream.count()).toBe(0);
    time.pass(PAST_OUTAGE_MS);
    expectImage([await pull('1')]);
    expect([upstream.count(), await circuit()]).toEqual([1, 0]);
  });
});

describe('the log of an outage', () => {
  it('says that the host is left alone and why, that it answers again, and has no warning for each request', async () => {
    const { upstream, mirror } = given;
    const { host } = new URL(upstream.url);
    await fill();
    const before = warnings(mirror).length;
    upstream.fault({}, { stall: {} }, FAILURES);
    await failOften();
    for (let round = 0; round < 5; round += 1) await pullAll();
    await expect.poll(() => stale(mirror)).toHaveLength(FAILURES + 5 * TAGS.length);

    const [left, ...more] = linesWith(mirror, 'does not answer');
    expect(more).toEqual([]);
    expect(left).toMatchObject({ level: 'warn', host, msg: expect.stringContaining('left alone') as string });
    expect(left?.['seconds']).toBeGreaterThanOrEqual(4);
    expect(left?.['seconds']).toBeLessThanOrEqual(5);
    expect(JSON.stringify(left?.['err'])).toContain(host);
    // Those that it did not answer, and that it is left alone.
    expect(warnings(mirror)).toHaveLength(before + FAILURES + 1);
    const untried = stale(mirror).filter(({ level }) => level === 'info');
    expect(untried).toHaveLength(5 * TAGS.length);
    for (const line of untried) expect(line['staleBecause']).toContain('has not answered since');

    expect(linesWith(mirror, 'answers again')).toEqual([]);
    time.pass(PAST_OUTAGE_MS);
    await pullAll();
    await pullAll();
    expect(linesWith(mirror, 'answers again')).toEqual([expect.objectContaining({ level: 'info', host })]);
  });
});

describe('what is not cached while upstream is left alone', () => {
  it('is refused at once, with a reason and the time to come again', async () => {
    const { upstream, mirror } = given;
    await fill();
    upstream.fault({}, { stall: {} }, ALWAYS);
    await failOften();
    upstream.reset();
    for (const path of [
      'manifests/new',
      `manifests/${digestOf(Buffer.from('new'))}`,
      `blobs/${digestOf(Buffer.from('new'))}`,
      `referrers/${digestOf(Buffer.from('new'))}`,
    ]) {
      const answer = await get(`${given.v2}/${REPOSITORY}/${path}`);
      expectError(answer, 503, 'UNAVAILABLE');
      expect(answer.body.toString()).toContain("upstream can't be reached");
      const seconds = Number(answer.headers['retry-after']);
      expect(seconds).toBeGreaterThanOrEqual(1);
      expect(seconds).toBeLessThanOrEqual(5);
    }
    expect(upstream.requests).toEqual([]);
    const labels = `kind="blob",method="GET",outcome="circuit-open",host="${new URL(upstream.url).host}"`;
    expect(await mirror.metric(`entrepot_upstream_requests_total{${labels}}`)).toBe(1);
  });

  it('is asked for again when the time has passed', async () => {
    const { upstream } = given;
    await fill();
    upstream.fault({}, { cut: { by: 'fin' } }, FAILURES);
    await failOften();
    const url = `${given.v2}/${REPOSITORY}/blobs/${image.config.digest}`;
    const refused = await get(url);
    expect(refused.status).toBe(503);
    time.pass(Number(refused.headers['retry-after']) * 1000);
    expect((await get(url)).body).toEqual(image.config.bytes);
  });
});

describe('a cold pull of what upstream does not answer', () => {
  it('is tried again only until the host is left alone', async () => {
    const { upstream } = given;
    upstream.push(REPOSITORY, '1', image);
    upstream.fault({}, { cut: { by: 'fin' } }, ALWAYS);
    expectError(await pull('1'), 503, 'UNAVAILABLE');
    expect(upstream.count()).toBe(FAILURES);
  });
});

describe('a CDN that does not answer', () => {
  const other = useMirror({ now: time.now, scripted: { auth: 'none' } });

  it('is left alone by itself: the registry is asked as ever, and blobs that are here are served', async () => {
    const { upstream, mirror, v2 } = other;
    upstream.push(REPOSITORY, '1', image);
    const [layer] = image.layers as [(typeof image.layers)[number]];
    const blob = `${v2}/${REPOSITORY}/blobs/${image.config.digest}`;
    expect((await get(blob)).body).toEqual(image.config.bytes);
    const stored = () => mirror.metric('entrepot_downloads_total{outcome="stored"}');
    await expect.poll(stored).toBe(1);
    upstream.fault({ origin: 'cdn' }, { cut: { by: 'fin' } }, ALWAYS);
    expectError(await get(`${v2}/${REPOSITORY}/blobs/${layer.digest}`), 503, 'UNAVAILABLE');

    const hosts = [upstream.url, upstream.cdnUrl].map((url) => new URL(url).host);
    const states = hosts.map((host) =>
      mirror.metric(`entrepot_upstream_circuit{upstream="${hosts[0]}",host="${host}"}`),
    );
    expect(await Promise.all(states)).toEqual([0, 2]);
    expect((await get(blob)).body).toEqual(image.config.bytes);
    expectImage([await get(`${v2}/${REPOSITORY}/manifests/1`)]);
  });
});
