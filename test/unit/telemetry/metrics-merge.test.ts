import { describe, expect, it } from 'vitest';
import { sumUp } from '../../../src/telemetry/metrics-merge.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import type { State } from '../../../src/telemetry/metrics-state.ts';
import { parseMetrics } from '../../support/metrics.ts';

const STATE = {
  ...{ blobs: 3, manifests: 1, used: 10, limit: 20, downloads: 0, waiting: 0, partialBytes: 0 },
  ...{ maxBytes: 30, pinnedBytes: 2, disk: { freeBytes: 50, sizeBytes: 100 } },
  ...{ upstreams: [], isOffline: false, storage: [], workers: 2 },
  scrub: {
    isRunning: false,
    intervalSeconds: 7,
    scannedBlobs: 0,
    scannedBytes: 0,
    lastCompletedAt: undefined,
  },
} satisfies State;

function counted(times: number): Metrics {
  const metrics = new Metrics('1', () => Promise.resolve(STATE));
  for (let time = 0; time < times; time += 1) {
    metrics.countRequest({
      route: 'blob',
      method: 'GET',
      status: 200,
      source: 'hit',
      bytes: 5,
      durationMs: 30,
    });
  }
  return metrics;
}

/** As it comes over a channel. */
async function sent(metrics: Metrics) {
  return JSON.parse(JSON.stringify(await metrics.snapshot())) as object[];
}

function valueOf(text: string, key: string): number | undefined {
  const samples = [...parseMetrics(text).values()].flatMap(({ samples: some }) => some);
  return samples.find((sample) => sample.key === key)?.value;
}

describe('metrics of several processes', () => {
  it('are one set: counters and histograms added up, and the state that of the one that has it', async () => {
    const text = await counted(1).render([await sent(counted(2)), await sent(counted(4))]);
    expect(
      valueOf(text, 'entrepot_requests_total{route="blob",method="GET",status="200",source="hit"}'),
    ).toBe(7);
    expect(valueOf(text, 'entrepot_served_bytes_total{route="blob",source="hit"}')).toBe(35);
    expect(valueOf(text, 'entrepot_request_duration_seconds_count{route="blob",source="hit"}')).toBe(7);
    expect(
      valueOf(text, 'entrepot_request_duration_seconds_bucket{le="+Inf",route="blob",source="hit"}'),
    ).toBe(7);
    expect(valueOf(text, 'entrepot_cache_blobs')).toBe(3);
    expect(valueOf(text, 'entrepot_workers')).toBe(2);
    expect(valueOf(text, `entrepot_build_info{version="1",node_version="${process.version}"}`)).toBe(1);
  });

  it('have the same names as those of one process', async () => {
    const names = (text: string) => [...parseMetrics(text).keys()];
    expect(names(await counted(1).render([await sent(counted(1))]))).toEqual(
      names(await counted(1).render()),
    );
  });

  it('have the memory of all that run, and none of those that are gone', async () => {
    const memory = (text: string) => valueOf(text, 'process_resident_memory_bytes') ?? 0;
    const own = memory(await counted(0).render());
    const gone = await sumUp([await sent(counted(0))]);
    expect(gone).not.toEqual([]);
    expect(memory(await counted(0).render([gone]))).toBeLessThan(1.9 * own);
    expect(memory(await counted(0).render([await sent(counted(0))]))).toBeGreaterThan(1.5 * own);
  });

  it('can be added up to a set like those that they were made of', async () => {
    const sum = await sumUp([await sent(counted(2)), [], await sent(counted(3))]);
    const text = await counted(0).render([sum]);
    expect(valueOf(text, 'entrepot_served_bytes_total{route="blob",source="hit"}')).toBe(25);
  });
});
