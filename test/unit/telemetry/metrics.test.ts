import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { monitorEventLoop } from '../../../src/telemetry/metrics-event-loop.ts';
import type { State } from '../../../src/telemetry/metrics-state.ts';
import { parseMetrics } from '../../support/metrics.ts';

const STATE: State = {
  ...{ blobs: 3, manifests: 2, used: 1000, limit: 5000, downloads: 1, waiting: 4, partialBytes: 6 },
  ...{ maxBytes: 6000, pinnedBytes: 500, disk: { freeBytes: 7000, sizeBytes: 9000 } },
  upstreams: [],
  isOffline: false,
  workers: 0,
  storage: [{ part: 'spool', isFailing: true }],
  scrub: { isRunning: true, intervalSeconds: 60, scannedBlobs: 1, scannedBytes: 2, lastCompletedAt: 3000 },
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
    expect(first.get('entrepot_cache_max_bytes')).toBe(6000);
    expect(first.get('entrepot_cache_reachable_bytes')).toBe(5000);
    expect(first.get('entrepot_pinned_bytes')).toBe(500);
    expect(first.get('entrepot_disk_free_bytes')).toBe(7000);
    expect(first.get('entrepot_disk_size_bytes')).toBe(9000);
    expect(first.get('entrepot_downloads_running')).toBe(1);
    expect(first.get(`entrepot_build_info{version="1.2.3",node_version="${process.version}"}`)).toBe(1);
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
    expect(samples.get('entrepot_upstream_rate_limit_window_seconds{upstream="docker.io"}')).toBe(21_600);
    const seenAt = 'entrepot_upstream_rate_limit_seen_timestamp_seconds{upstream="docker.io"}';
    expect(samples.get(seenAt)).toBe(rateLimit.seenAt / 1000);
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
    expect(samples.get('entrepot_scrub_running')).toBe(1);
    expect(samples.get('entrepot_scrub_interval_seconds')).toBe(60);
    expect(samples.get('entrepot_offline')).toBe(0);
  });

  it('shows by how much the event loop was late at most, however many ask', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    const worst = async () =>
      (await samplesOf(metrics)).get('entrepot_event_loop_delay_seconds{percentile="100"}');
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const afterBlocking = async () => {
      await pause(50);
      for (const until = performance.now() + 200; performance.now() < until;);
      await pause(50);
      return worst();
    };
    await expect.poll(afterBlocking).toBeGreaterThan(0.1);
    // A worker is measured for its keeper as well, now and then.
    await metrics.snapshot();
    expect(await worst()).toBeGreaterThan(0.1);
    metrics.close();
  });

  it('forgets of the event loop what is long over', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const registry = new Registry();
    using _monitor = monitorEventLoop(registry);
    const worst = async () => {
      const text = await registry.metrics();
      return Number(/percentile="100"} (.*)/.exec(text)?.[1]);
    };
    const block = () => {
      for (const until = process.uptime() + 1; process.uptime() < until;);
    };
    // It sees nothing of what comes before its own first look.
    await expect.poll(() => (block(), worst()), { timeout: 10_000 }).toBeGreaterThan(0.5);
    // What ends with one look is told until the next.
    for (const isTold of [true, true, false]) {
      vi.advanceTimersByTime(15_000);
      expect((await worst()) > 0.5).toBe(isTold);
    }
  });

  it('tells what went from the cache, why, and how old it was', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    metrics.countEvicted({ blobs: 2, manifests: 1, bytes: 300 }, 7_200_000);
    metrics.countPurged({ blobs: 4, manifests: 5, bytes: 600 });
    const samples = await samplesOf(metrics);
    const gone = (how: string) =>
      ['blobs', 'manifests', 'bytes'].map((what) => samples.get(`entrepot_${how}_${what}_total`));
    expect(gone('evicted')).toEqual([2, 1, 300]);
    expect(gone('purged')).toEqual([4, 5, 600]);
    expect(samples.get('entrepot_evicted_age_seconds_sum')).toBe(7200);
  });

  it('has each outcome and cause of a download from the start, and counts the cause with the failure', async () => {
    const metrics = new Metrics('1', () => Promise.resolve(STATE));
    expect((await samplesOf(metrics)).get('entrepot_download_failures_total{cause="rate-limited"}')).toBe(0);
    metrics.countDownload('failed', 'rate-limited');
    metrics.countDownload('stored');
    const samples = await samplesOf(metrics);
    expect(samples.get('entrepot_downloads_total{outcome="failed"}')).toBe(1);
    expect(samples.get('entrepot_download_failures_total{cause="rate-limited"}')).toBe(1);
    const causes = [...samples].filter(([key]) => key.startsWith('entrepot_download_failures_total'));
    expect(causes.reduce((sum, [, value]) => sum + value, 0)).toBe(1);
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
