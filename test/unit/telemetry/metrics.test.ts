import { describe, expect, it } from 'vitest';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import type { State } from '../../../src/telemetry/metrics-state.ts';
import { parseMetrics } from '../../support/metrics.ts';

const STATE: State = {
  ...{ blobs: 3, manifests: 2, used: 1000, limit: 5000, downloads: 1, waiting: 4, partialBytes: 6 },
  upstreams: [],
  isOffline: false,
  workers: 0,
  storage: [{ part: 'spool', isFailing: true }],
  scrub: { scannedBlobs: 1, scannedBytes: 2, lastCompletedAt: 3000 },
};

async function samplesOf(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const families = parseMetrics(await metrics.render());
  return new Map([...families.values()].flatMap(({ samples }) => samples.map((s) => [s.key, s.value])));
}

describe('Metrics', () => {
  it('reads the state of the cache whenever it is asked, and only then', async () => {
    let state = STATE;
    let reads = 0;
    const metrics = new Metrics('1.2.3', () => {
      reads += 1;
      return Promise.resolve(state);
    });
    expect(reads).toBe(0);
    const first = await samplesOf(metrics);
    expect(first.get('entrepot_cache_bytes')).toBe(1000);
    expect(first.get('entrepot_cache_max_bytes')).toBe(5000);
    expect(first.get('entrepot_downloads_running')).toBe(1);
    expect(first.get('entrepot_build_info{version="1.2.3"}')).toBe(1);
    state = { ...STATE, used: 2000 };
    expect((await samplesOf(metrics)).get('entrepot_cache_bytes')).toBe(2000);
    expect(reads).toBe(2);
  });

  it.each([
    ['hit', 'hits'],
    ['revalidated', 'hits'],
    ['stale', 'hits'],
    ['miss', 'misses'],
    ['joined', 'misses'],
  ] as const)('counts %s among the %s of Distribution', async (source, counted) => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    const request = { route: 'blob', method: 'GET', status: 200, bytes: 10, durationMs: 2 };
    metrics.countRequest({ ...request, source });
    const samples = await samplesOf(metrics);
    for (const what of ['hits', 'misses']) {
      expect(samples.get(`registry_proxy_${what}_total{type="blob"}`)).toBe(what === counted ? 1 : 0);
    }
    expect(samples.get('registry_proxy_requests_total{type="blob"}')).toBe(1);
    expect(samples.get('registry_proxy_pushed_bytes_total{type="blob"}')).toBe(10);
    expect(samples.get('registry_proxy_requests_total{type="manifest"}')).toBe(0);
  });

  it('counts no refusal, and nothing but blobs and manifests, under the names of Distribution', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    const request = { method: 'GET', bytes: 10, durationMs: 2 };
    metrics.countRequest({ ...request, route: 'blob', status: 404 });
    metrics.countRequest({ ...request, route: 'tags', status: 200, source: 'miss' });
    for (const [key, value] of await samplesOf(metrics)) {
      if (key.startsWith('registry_proxy_')) expect([key, value]).toEqual([key, 0]);
    }
  });

  it('measures durations in seconds', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    metrics.countRequest({
      ...{ route: 'blob', method: 'GET', status: 200, source: 'hit', bytes: 10 },
      durationMs: 1500,
    });
    const samples = await samplesOf(metrics);
    const labels = 'route="blob",source="hit"';
    expect(samples.get(`entrepot_request_duration_seconds_sum{${labels}}`)).toBe(1.5);
    expect(samples.get(`entrepot_request_duration_seconds_bucket{le="0.5",${labels}}`)).toBe(0);
    expect(samples.get(`entrepot_request_duration_seconds_bucket{le="2.5",${labels}}`)).toBe(1);
    expect(samples.get(`entrepot_request_duration_seconds_count{${labels}}`)).toBe(1);
  });

  it('counts all methods that no client sends as one', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    for (const method of ['PROPFIND', 'PURGE', 'M-SEARCH']) {
      metrics.countRequest({ route: 'none', method, status: 405, bytes: 0, durationMs: 1 });
    }
    const labels = 'route="none",method="other",status="405",source="none"';
    expect((await samplesOf(metrics)).get(`entrepot_requests_total{${labels}}`)).toBe(3);
  });

  it('shows the pull limit of each upstream that has told of one', async () => {
    const rateLimit = { limit: 100, remaining: 76, windowSeconds: 21_600, seenAt: 0 };
    const upstreams = [
      { name: 'docker.io', rateLimit, circuits: [] },
      { name: 'ghcr.io', rateLimit: undefined, circuits: [] },
    ];
    const samples = await samplesOf(new Metrics('1', () => Promise.resolve({ ...STATE, upstreams })));
    expect(samples.get('entrepot_upstream_rate_limit{upstream="docker.io"}')).toBe(100);
    expect(samples.get('entrepot_upstream_rate_limit_remaining{upstream="docker.io"}')).toBe(76);
    expect([...samples.keys()].join('\n')).not.toContain('ghcr.io');
  });

  it('shows which hosts are left alone, and forgets those that are no longer asked', async () => {
    let circuits: State['upstreams'][number]['circuits'] = [
      { host: 'registry.test', state: 'open' },
      { host: 'cdn.test', state: 'half-open' },
    ];
    const readState = () =>
      Promise.resolve({ ...STATE, upstreams: [{ name: 'docker.io', rateLimit: undefined, circuits }] });
    const metrics = new Metrics('1', readState);
    const name = (host: string) => `entrepot_upstream_circuit{upstream="docker.io",host="${host}"}`;
    expect((await samplesOf(metrics)).get(name('registry.test'))).toBe(2);
    expect((await samplesOf(metrics)).get(name('cdn.test'))).toBe(1);
    circuits = [{ host: 'registry.test', state: 'closed' }];
    expect((await samplesOf(metrics)).get(name('registry.test'))).toBe(0);
    expect((await samplesOf(metrics)).has(name('cdn.test'))).toBe(false);
  });

  it('shows the state of the storage, of the queue and of the last scrub', async () => {
    const samples = await samplesOf(new Metrics('1', () => Promise.resolve(STATE)));
    expect(samples.get('entrepot_storage_failing{part="spool"}')).toBe(1);
    expect(samples.get('entrepot_downloads_waiting')).toBe(4);
    expect(samples.get('entrepot_partial_bytes')).toBe(6);
    expect(samples.get('entrepot_scrub_last_completed_timestamp_seconds')).toBe(3);
    expect(samples.get('entrepot_offline')).toBe(0);
  });

  it('shows by how much the event loop was late at most, since it was last asked', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    const worst = async () =>
      (await samplesOf(metrics)).get('entrepot_event_loop_delay_seconds{quantile="1"}');
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const afterBlocking = async () => {
      await pause(50);
      for (const until = performance.now() + 200; performance.now() < until;);
      await pause(50);
      return worst();
    };
    await expect.poll(afterBlocking).toBeGreaterThan(0.1);
    // Nobody has looked since.
    metrics.close();
    await pause(1);
    await worst();
    expect(await worst()).toBe(0);
  });

  it('has registries of its own: two in one process do not add up', async () => {
    const [one, other] = [
      new Metrics('1', () => Promise.resolve(STATE)),
      new Metrics('1', () => Promise.resolve(STATE)),
    ];
    one.countLostBlob();
    expect((await samplesOf(one)).get('entrepot_lost_blobs_total')).toBe(1);
    expect((await samplesOf(other)).get('entrepot_lost_blobs_total')).toBe(0);
  });
});
