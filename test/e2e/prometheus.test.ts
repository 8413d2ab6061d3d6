/** What a real Prometheus makes of the mirror's metrics: values, rules, and every query of the dashboard. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { parseMetrics } from '../support/metrics.ts';
import { RawConnection } from '../support/raw-http.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DEPLOY, dashboardQueries, namesIn, ruleExpressions } from './support/monitoring.ts';
import { Prometheus } from './support/prometheus.ts';
import { run } from './support/run.ts';
import { until } from './support/until.ts';

const MIB = 1024 * 1024;
const SERVED = 'route=~"manifest|blob",source!="none"';

let stack: AsyncDisposableStack;
let upstream: ScriptedUpstream;
let mirror: RunningMirror;
let prometheus: Prometheus;
let directory: string;
beforeAll(async () => {
  await using starting = new AsyncDisposableStack();
  directory = starting.use(await tempDir()).path;
  upstream = starting.use(await ScriptedUpstream.start());
  const env = { ENTREPOT_CACHE_MAX_SIZE: '6MiB', ENTREPOT_CACHE_LOW_WATER: '50%' };
  mirror = starting.use(await startMirror({ upstreamUrl: upstream.url, env }));
  prometheus = starting.use(await Prometheus.start(directory, new URL(mirror.adminUrl).host));
  stack = starting.move();
});
afterAll(() => stack.disposeAsync());

/** Pulls the image by its tag, as a client does. */
async function pull(repository: string, image: ReturnType<typeof buildImage>): Promise<void> {
  const path = `${mirror.url}/v2/${repository}`;
  for (const reference of ['1', image.manifest.digest])
    expect((await get(`${path}/manifests/${reference}`)).status).toBe(200);
  for (const { digest } of image.blobs) await get(`${path}/blobs/${digest}`);
  await until('all is stored', async () => (await mirror.metric('entrepot_downloads_running')) === 0);
}

describe('promtool', () => {
  it('finds nothing amiss in the metrics', async () => {
    const file = join(directory, 'metrics.txt');
    await writeFile(file, await (await fetch(`${mirror.adminUrl}/metrics`)).text());
    expect(await run(['sh', '-c', 'promtool check metrics < "$0" 2>&1', file])).toBe('');
  });

  it('finds nothing amiss in the configuration and the rules', async () => {
    await run(['promtool', 'check', 'config', join(DEPLOY, 'prometheus/prometheus.yml')]);
    await run(['promtool', 'check', 'rules', join(DEPLOY, 'prometheus/rules.yml')]);
  });

  it('sees each alert fire when it should, and only then', async () => {
    await run(['promtool', 'test', 'rules', join(DEPLOY, 'prometheus/rules.test.yml')]);
    const tests = await readFile(join(DEPLOY, 'prometheus/rules.test.yml'), 'utf8');
    const { alerts } = await ruleExpressions();
    for (const alert of alerts) {
      expect(tests).toContain(`name: ${alert} fires`);
      expect(tests).toContain(`name: ${alert} stays quiet`);
    }
  });
});

describe('a known pull', () => {
  it('is found in Prometheus as it was, cold and then warm', async () => {
    const image = buildImage({ layers: 2, layerSize: 50_000 });
    upstream.push('library/known', '1', image);
    await pull('library/known', image);
    await pull('library/known', image);
    const blobBytes = image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const manifestBytes = image.manifest.bytes.length;

    const expected: Record<string, number> = {
      [`sum(entrepot_requests_total{${SERVED}})`]: 10,
      // By digest, the manifest that the tag has brought is a hit already.
      'sum(entrepot_requests_total{route="manifest",source="miss"})': 1,
      'sum(entrepot_requests_total{route="manifest",source="hit"})': 3,
      'sum(entrepot_requests_total{route="blob",source="miss"})': 3,
      'sum(entrepot_requests_total{route="blob",source="hit"})': 3,
      [`sum(entrepot_served_bytes_total{${SERVED}})`]: 2 * blobBytes + 4 * manifestBytes,
      'sum(entrepot_fetched_bytes_total)': blobBytes + manifestBytes,
      [`sum(entrepot_served_bytes_total{${SERVED}}) - sum(entrepot_fetched_bytes_total)`]:
        blobBytes + 3 * manifestBytes,
      'entrepot_downloads_total{outcome="stored"}': 3,
      'sum(registry_proxy_requests_total)': 10,
      'sum(registry_proxy_misses_total)': 4,
      'sum(entrepot_request_first_byte_seconds_count{route="blob"})': 6,
      'entrepot_upstream_tokens_total{outcome="fetched"}': 1,
      'up{job="entrepot"}': 1,
    };
    await until('the last of it is scraped', async () => {
      const [value] = await prometheus.query('sum(entrepot_requests_total{route="blob"})');
      return value === 6;
    });
    for (const [query, value] of Object.entries(expected))
      expect({ query, value: await prometheus.query(query) }).toEqual({ query, value: [value] });
  });
});

/** Something of everything that the metrics tell of, each time anew. */
async function makeTraffic(round: number): Promise<void> {
  upstream.remainingPulls = 90;
  const repository = `library/round-${round}`;
  const path = `${mirror.url}/v2/${repository}`;
  const image = buildImage({ seed: round, layerSize: 300_000 });
  upstream.push(repository, '1', image);
  await pull(repository, image);
  await pull(repository, image);
  // Two at once: one joins the other. With what there is it is more than the cache may have.
  const large = upstream.pushBlob(repository, randomBytes(`large ${round}`, MIB));
  await Promise.all([get(`${path}/blobs/${large}`), get(`${path}/blobs/${large}`)]);
  const cut = upstream.pushBlob(repository, randomBytes(`cut ${round}`, MIB));
  upstream.fault({ kind: 'cdn', reference: cut }, { cut: { by: 'fin', afterBytes: 500_000 } });
  await get(`${path}/blobs/${cut}`);
  const wrong = upstream.pushBlob(repository, randomBytes(`wrong ${round}`, 10_000));
  upstream.fault({ kind: 'cdn', reference: wrong }, { body: flipByte(100) });
  await get(`${path}/blobs/${wrong}`);
  upstream.reply({ kind: 'manifest', reference: `limited-${round}` }, { status: 429 }, 100);
  await get(`${path}/manifests/limited-${round}`);
  await get(`${path}/manifests/missing`);
  await get(`${path}/tags/list`);
  using connection = await RawConnection.open(mirror.url);
  connection.send('this is no request\r\n\r\n');
  await connection.toEnd();
}

describe('the dashboard and the rules', () => {
  it('use no metric that is not there, or not in the reference', async () => {
    const there = [...parseMetrics(await (await fetch(`${mirror.adminUrl}/metrics`)).text()).keys()];
    const reference = await readFile(join(DEPLOY, '../docs/metrics.md'), 'utf8');
    const { expressions } = await ruleExpressions();
    const names = namesIn([...expressions, ...(await dashboardQueries()).map(({ query }) => query)]);
    expect(names.length).toBeGreaterThan(40);
    for (const name of names) {
      expect(there).toContain(name);
      expect(reference).toContain(`### \`${name}\``);
    }
  });

  it('all have data when all that they tell of has happened', async () => {
    const ending = new AbortController();
    const traffic = (async () => {
      for (let round = 0; !ending.signal.aborted; round += 1) await makeTraffic(round);
    })();
    try {
      for (const { panel, query } of await dashboardQueries()) {
        await until(`"${panel}" has data of ${query}`, async () => {
          const values = await prometheus.query(query);
          return values.some((value) => !Number.isNaN(value));
        });
      }
      for (const record of (await ruleExpressions()).records) {
        await until(`${record} has data`, async () => (await prometheus.query(record)).some(Number.isFinite));
      }
    } finally {
      ending.abort();
      await traffic;
    }
    for (const { name, health, lastError } of await prometheus.rules())
      expect({ name, health, lastError }).toEqual({ name, health: 'ok', lastError: undefined });
    for (const variable of ['job', 'instance'])
      expect(await prometheus.labelValues(variable, 'entrepot_build_info')).toHaveLength(1);
  });
});
