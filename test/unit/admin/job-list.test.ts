import { describe, expect, it } from 'vitest';
import { asListed } from '../../../src/admin/job-list.ts';
import type { JobView, PrefetchView } from '../../../src/admin/views.ts';

const blob = { digest: `sha256:${'ab'.repeat(32)}`, size: 1e9, bytes: 1e9, state: 'done' } as const;

function reference(state: PrefetchView['state'], blobs: number): PrefetchView {
  return { reference: 'library/node:24', state, blobs: new Array(blobs).fill(blob) };
}

function job(state: JobView['state'], ...prefetch: readonly PrefetchView[]): JobView {
  return { id: 'a', kind: 'prefetch', state, startedAt: '2026-01-01T00:00:00.000Z', prefetch };
}

describe('a list of jobs', () => {
  it('has all of them as they are where that is not much', () => {
    const jobs: JobView[] = [
      job('running', reference('running', 100), reference('waiting', 0)),
      { id: 'b', kind: 'check', state: 'succeeded', startedAt: '2026-01-01T00:00:00.000Z' },
      job('succeeded', reference('done', 1800)),
    ];
    expect(asListed(jobs)).toEqual(jobs);
  });

  it('has of very much what is being fetched, and of each reference how it stands', () => {
    const running = reference('running', 300);
    const done = reference('done', 100);
    const big = job('running', ...new Array<PrefetchView>(200).fill(done), running);
    const old = job('succeeded', done);
    const listed = asListed([big, ...new Array<JobView>(50).fill(old)]);
    expect(listed[0]!.prefetch!.at(-1)).toEqual(running);
    expect(listed[0]!.prefetch![0]).toEqual({ ...done, blobs: [] });
    expect(listed[1]).toEqual(old);
    // What the event stream takes for a listener that no longer reads.
    expect(JSON.stringify(listed).length).toBeLessThan(1024 * 1024);
  });
});
