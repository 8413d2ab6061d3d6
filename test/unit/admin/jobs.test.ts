import { describe, expect, it } from 'vitest';
import { JobTable, type Work } from '../../../src/admin/jobs.ts';
import type { JobView } from '../../../src/admin/views.ts';
import { movableClock } from '../../support/clock.ts';

const conflict = (message: RegExp) =>
  expect.objectContaining({
    kind: 'conflict',
    message: expect.stringMatching(message) as string,
  }) as Error;

function table() {
  const clock = movableClock();
  const events: { job: JobView; cause: Error | undefined }[] = [];
  const jobs = new JobTable({ now: clock.now, onJob: (job, cause) => void events.push({ job, cause }) });
  return { jobs, clock, events };
}

const work = (run: Work['run'], kind: Work['kind'] = 'check'): Work => ({ kind, details: () => ({}), run });
const untilAborted: Work['run'] = (signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });

describe('JobTable', () => {
  it('shows a job while it runs and when it has ended, with the times', async () => {
    const { jobs, clock, events } = table();
    const gate = Promise.withResolvers<undefined>();
    const { id, view, done } = jobs.start(work(() => gate.promise));
    expect(view).toEqual({
      id,
      kind: 'check',
      state: 'running',
      startedAt: new Date(clock.now()).toISOString(),
    });
    clock.pass(5000);
    gate.resolve(undefined);
    await done;
    await jobs.close();
    const ended = jobs.get(id);
    expect(ended).toEqual({ ...view, state: 'succeeded', endedAt: new Date(clock.now()).toISOString() });
    expect(events).toEqual([
      { job: view, cause: undefined },
      { job: ended, cause: undefined },
    ]);
  });

  it('shows what the work says of itself each time that it is asked', () => {
    const { jobs } = table();
    let freedBytes = 0;
    const details = () => ({ evict: { freedBytes, blobs: 0, manifests: 0 } });
    const { id } = jobs.start({ kind: 'evict', details, run: untilAborted });
    freedBytes = 7;
    expect(jobs.get(id).evict).toEqual({ freedBytes: 7, blobs: 0, manifests: 0 });
    return jobs.close();
  });

  it('says why one failed, also where it throws at once', async () => {
    const { jobs, events } = table();
    const failure = new Error('the disk is gone');
    const { id, done } = jobs.start(
      work(() => {
        throw failure;
      }),
    );
    await expect(done).rejects.toBe(failure);
    await jobs.close();
    expect(jobs.get(id)).toMatchObject({ state: 'failed', error: 'the disk is gone' });
    expect(events.at(-1)?.cause).toBe(failure);
  });

  it('cancels one, which is neither success nor failure, and that once', async () => {
    const { jobs, events } = table();
    const { id, done } = jobs.start(work(untilAborted));
    jobs.cancel(id);
    await expect(done).rejects.toEqual(conflict(/was cancelled/));
    await jobs.close();
    expect(jobs.get(id).state).toBe('cancelled');
    expect(jobs.get(id)).not.toHaveProperty('error');
    expect(events.at(-1)?.cause).toBeUndefined();
    expect(() => jobs.cancel(id)).toThrow(conflict(/has ended already/));
  });

  it('runs one of a kind at a time, other kinds beside it, and the next after it', async () => {
    const { jobs } = table();
    const { id, done } = jobs.start(work(untilAborted));
    expect(() => jobs.start(work(untilAborted))).toThrow(conflict(new RegExp(id)));
    jobs.start(work(untilAborted, 'scrub'));
    jobs.cancel(id);
    await done.catch(() => undefined);
    await Promise.resolve();
    jobs.start(work(untilAborted));
    await jobs.close();
  });

  it('runs a number of prefetches at a time', async () => {
    const { jobs } = table();
    for (let n = 0; n < 16; n += 1) jobs.start(work(untilAborted, 'prefetch'));
    expect(() => jobs.start(work(untilAborted, 'prefetch'))).toThrow(conflict(/16 jobs/));
    await jobs.close();
  });

  it('keeps the last fifty that ended and all that run, the newest first', async () => {
    const { jobs } = table();
    const oldest = jobs.start(work(untilAborted, 'scrub'));
    const ids: string[] = [];
    for (let n = 0; n < 60; n += 1) {
      const { id, done } = jobs.start(work(() => Promise.resolve()));
      ids.unshift(id);
      await done;
      await Promise.resolve();
    }
    expect(jobs.list().map(({ id }) => id)).toEqual([...ids.slice(0, 50), oldest.id]);
    expect(() => jobs.get(ids[55]!)).toThrow(expect.objectContaining({ kind: 'unknown' }) as Error);
    await jobs.close();
  });

  it('ends what runs when it is closed, waits for it, and begins nothing more', async () => {
    const { jobs } = table();
    const begun = Promise.withResolvers<undefined>();
    const gate = Promise.withResolvers<undefined>();
    const { id, done } = jobs.start(
      work(async (signal) => {
        begun.resolve(undefined);
        await untilAborted(signal).catch(() => undefined);
        await gate.promise;
      }),
    );
    await begun.promise;
    const closed = jobs.close();
    expect(jobs.get(id).state).toBe('running');
    gate.resolve(undefined);
    await closed;
    await done;
    expect(jobs.get(id).state).toBe('cancelled');
    expect(() => jobs.start(work(untilAborted))).toThrow(conflict(/shutting down/));
  });

  it('begins nothing that was cancelled before its turn came', async () => {
    const { jobs } = table();
    let hasBegun = false;
    const { id, done } = jobs.start(
      work(() => {
        hasBegun = true;
        return Promise.resolve();
      }),
    );
    jobs.cancel(id);
    await expect(done).rejects.toEqual(conflict(/was cancelled/));
    expect(hasBegun).toBe(false);
  });
});
