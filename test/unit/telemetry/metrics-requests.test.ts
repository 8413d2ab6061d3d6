import { describe, expect, it } from 'vitest';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import type { State } from '../../../src/telemetry/metrics-state.ts';
import { parseMetrics } from '../../support/metrics.ts';

const STATE: State = {
  ...{ blobs: 0, manifests: 0, used: 0, limit: 0, downloads: 0, waiting: 0, partialBytes: 0 },
  ...{ maxBytes: 0, pinnedBytes: 0, disk: { freeBytes: 0, sizeBytes: 0 } },
  ...{ upstreams: [], isOffline: false, workers: 0, storage: [] },
  scrub: {
    ...{ isRunning: false, intervalSeconds: undefined },
    ...{ scannedBlobs: 0, scannedBytes: 0, lastCompletedAt: undefined },
  },
};
const REQUEST = { route: 'blob', method: 'GET', status: 200, bytes: 10, durationMs: 2 } as const;

const metricsOf = () => new Metrics('1', () => Promise.resolve(STATE));

async function samplesOf(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const families = parseMetrics(await metrics.render());
  return new Map([...families.values()].flatMap(({ samples }) => samples.map((s) => [s.key, s.value])));
}

/** As it comes over a channel. */
async function sent(metrics: Metrics) {
  return JSON.parse(JSON.stringify(await metrics.snapshot())) as object[];
}

describe('the metrics of requests', () => {
  it('tell apart when the head of an answer went out and when all of it had', async () => {
    const metrics = metricsOf();
    metrics.countRequest({ ...REQUEST, source: 'miss', durationMs: 20_000, firstByteMs: 40 });
    metrics.countRequest({ ...REQUEST, source: 'miss', durationMs: 400_000, firstByteMs: 50 });
    const samples = await samplesOf(metrics);
    const value = (name: string, le = '') =>
      samples.get(`entrepot_request_${name}{${le}route="blob",source="miss"}`);
    expect(value('first_byte_seconds_bucket', 'le="0.025",')).toBe(0);
    // What is as long as a bound says is within it.
    expect(value('first_byte_seconds_bucket', 'le="0.05",')).toBe(2);
    expect(value('first_byte_seconds_sum')).toBeCloseTo(0.09);
    expect(value('duration_seconds_bucket', 'le="30",')).toBe(1);
    expect(value('duration_seconds_bucket', 'le="300",')).toBe(1);
    expect(value('duration_seconds_bucket', 'le="+Inf",')).toBe(2);
    expect(value('duration_seconds_count')).toBe(2);
  });

  it('know of no first byte where the client had left before there was one', async () => {
    const metrics = metricsOf();
    metrics.countRequest({ ...REQUEST, status: 499, firstByteMs: undefined });
    const samples = await samplesOf(metrics);
    const labels = '{route="blob",source="none"}';
    expect(samples.get(`entrepot_request_first_byte_seconds_count${labels}`)).toBe(0);
    expect(samples.get(`entrepot_request_duration_seconds_count${labels}`)).toBe(1);
  });

  it('have the bytes by how they were served, and each scrape has them once', async () => {
    const metrics = metricsOf();
    metrics.countRequest({ ...REQUEST, source: 'hit' });
    metrics.countRequest({ ...REQUEST, source: 'hit', method: 'HEAD', bytes: 0 });
    metrics.countRequest({ ...REQUEST, source: 'miss', bytes: 7 });
    await samplesOf(metrics);
    const samples = await samplesOf(metrics);
    expect(samples.get('entrepot_served_bytes_total{route="blob",source="hit"}')).toBe(10);
    expect(samples.get('entrepot_served_bytes_total{route="blob",source="miss"}')).toBe(7);
  });

  it('count who joined the download of another', async () => {
    const metrics = metricsOf();
    for (const source of ['miss', 'joined', 'joined', 'hit'] as const)
      metrics.countRequest({ ...REQUEST, source });
    metrics.countRequest({ ...REQUEST, route: 'manifest', source: 'joined' });
    expect((await samplesOf(metrics)).get('entrepot_download_joins_total')).toBe(2);
  });

  it('show how many are being answered, of all processes together', async () => {
    const [keeper, worker, other] = [metricsOf(), metricsOf(), metricsOf()];
    worker.readInFlight = () => 2;
    other.readInFlight = () => 3;
    const text = await keeper.render([await sent(worker), await sent(other)]);
    expect(text).toMatch(/^entrepot_requests_in_flight 5$/m);
  });
});

describe('Metrics.traffic', () => {
  it('is that of manifests and blobs that were served, here and in other processes', async () => {
    const [keeper, worker] = [metricsOf(), metricsOf()];
    keeper.countRequest({ ...REQUEST, source: 'miss', bytes: 100 });
    keeper.countFetched('blob', 100);
    keeper.countFetched('manifest', 5);
    keeper.countRequest({ ...REQUEST, status: 404 });
    keeper.countRequest({ ...REQUEST, route: 'tags', source: 'hit', bytes: 1000 });
    worker.countRequest({ ...REQUEST, source: 'hit', bytes: 100 });
    worker.countRequest({ ...REQUEST, route: 'manifest', source: 'revalidated', bytes: 5 });
    worker.countRequest({ ...REQUEST, route: 'manifest', source: 'stale', bytes: 5 });
    worker.countRequest({ ...REQUEST, source: 'joined', bytes: 100 });
    expect(await keeper.traffic([await sent(worker)])).toEqual({
      ...{ requests: 5, hits: 3, servedBytes: 310, hitBytes: 110, fetchedBytes: 105 },
    });
    expect(await metricsOf().traffic()).toEqual({
      ...{ requests: 0, hits: 0, servedBytes: 0, hitBytes: 0, fetchedBytes: 0 },
    });
  });
});

describe('the metrics of upstreams', () => {
  const EXCHANGE = { kind: 'blob', method: 'GET', status: 200, failure: undefined, durationMs: 30 } as const;

  it('name fifty hosts, and all others as one, however many redirects lead to', async () => {
    const metrics = metricsOf();
    for (let number = 0; number < 60; number += 1)
      metrics.countUpstreamExchange({ ...EXCHANGE, host: `cdn-${number}.test` });
    metrics.countUpstreamExchange({ ...EXCHANGE, host: 'cdn-3.test' });
    const samples = [...(await samplesOf(metrics))];
    const requests = samples.filter(
      ([key]) => key.startsWith('entrepot_upstream_requests_total') && key.includes('outcome="200"'),
    );
    expect(requests).toHaveLength(51);
    const valueOf = (host: string) => requests.find(([key]) => key.endsWith(`host="${host}"}`))?.[1];
    expect([valueOf('cdn-3.test'), valueOf('cdn-55.test'), valueOf('other')]).toEqual([2, undefined, 10]);
  });

  it("have a host's refusals before the first, which would be no increase otherwise", async () => {
    const metrics = metricsOf();
    const of429 = async () => {
      const labels = 'kind="blob",method="GET",outcome="429",host="registry.test"';
      return (await samplesOf(metrics)).get(`entrepot_upstream_requests_total{${labels}}`);
    };
    metrics.countUpstreamExchange({ ...EXCHANGE, host: 'registry.test' });
    expect(await of429()).toBe(0);
    metrics.countUpstreamExchange({ ...EXCHANGE, host: 'registry.test', status: 429 });
    expect(await of429()).toBe(1);
  });

  it('measure how long answers take, and nothing of what was not asked', async () => {
    const metrics = metricsOf();
    const host = 'registry.test';
    metrics.countUpstreamExchange({ ...EXCHANGE, host });
    metrics.countUpstreamExchange({ ...EXCHANGE, host, status: undefined, failure: 'unreachable' });
    for (const failure of ['circuit-open', 'paused'])
      metrics.countUpstreamExchange({ ...EXCHANGE, host, status: undefined, failure, durationMs: 0 });
    const samples = await samplesOf(metrics);
    const labels = 'host="registry.test",kind="blob"';
    expect(samples.get(`entrepot_upstream_request_duration_seconds_count{${labels}}`)).toBe(2);
  });

  it('count tokens by whether there was one', async () => {
    const metrics = metricsOf();
    const token = { ...EXCHANGE, kind: 'token', host: 'auth.test' };
    metrics.countUpstreamExchange(token);
    metrics.countUpstreamExchange({ ...token, status: 401 });
    metrics.countUpstreamExchange({ ...token, status: undefined, failure: 'unreachable' });
    metrics.countUpstreamExchange({ ...token, status: undefined, failure: 'aborted' });
    const samples = await samplesOf(metrics);
    expect(samples.get('entrepot_upstream_tokens_total{outcome="fetched"}')).toBe(1);
    expect(samples.get('entrepot_upstream_tokens_total{outcome="failed"}')).toBe(2);
  });
});
