import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobRunner, type Job } from '../../../src/jobs/job-runner.ts';

const MINUTE = 60_000;
let failures: { readonly job: string; readonly error: Error }[];
let runner: JobRunner;

/** A job whose runs end when the test says so. */
function manualJob() {
  const runs: (PromiseWithResolvers<undefined> & { readonly signal: AbortSignal })[] = [];
  const job: Job = {
    name: 'manual',
    run: (signal) => {
      const run = { ...Promise.withResolvers<undefined>(), signal };
      runs.push(run);
      return run.promise;
    },
  };
  return { job, runs };
}

beforeEach(() => {
  vi.useFakeTimers();
  failures = [];
  runner = new JobRunner(({ name }, error) => failures.push({ job: name, error }));
});

afterEach(() => {
  vi.useRealTimers();
});

describe('JobRunner', () => {
  it('runs a job after each interval, and not before the first', async () => {
    const run = vi.fn(() => Promise.resolve());
    runner.start({ name: 'quick', run }, MINUTE);
    await vi.advanceTimersByTimeAsync(MINUTE - 1);
    expect(run).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(run).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2 * MINUTE);
    expect(run).toHaveBeenCalledTimes(3);
    await runner.close();
  });

  it('never runs a job twice at once: who asks for a run joins the one that is under way', async () => {
    const { job, runs } = manualJob();
    runner.start(job, MINUTE);
    const first = runner.runNow(job);
    const second = runner.runNow(job);
    await vi.advanceTimersByTimeAsync(5 * MINUTE);
    expect(runs).toHaveLength(1);
    runs[0]!.resolve(undefined);
    await Promise.all([first, second]);
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(runs).toHaveLength(2);
    runs[1]!.resolve(undefined);
    await runner.close();
  });

  it('lets different jobs run at once', () => {
    const [one, other] = [manualJob(), manualJob()];
    void runner.runNow(one.job);
    void runner.runNow(other.job);
    expect([one.runs.length, other.runs.length]).toEqual([1, 1]);
  });

  it('reports a job that fails, whether by rejection or by a throw, and runs it again when it is due', async () => {
    const error = new Error('the disk is full');
    const runs = [() => Promise.reject(error), throwing(error), () => Promise.resolve()];
    const run = vi.fn(() => runs.shift()!());
    runner.start({ name: 'unlucky', run }, MINUTE);
    await vi.advanceTimersByTimeAsync(3 * MINUTE);
    expect(run).toHaveBeenCalledTimes(3);
    expect(failures).toEqual([
      { job: 'unlucky', error },
      { job: 'unlucky', error },
    ]);
    await runner.close();
  });

  it('resolves for whoever asked for a run that failed', async () => {
    await runner.runNow({ name: 'unlucky', run: () => Promise.reject(new Error()) });
    expect(failures).toHaveLength(1);
  });

  it('tells what runs to end when it closes, and waits until it has', async () => {
    const { job, runs } = manualJob();
    void runner.runNow(job);
    const events: string[] = [];
    const closed = runner.close().then(() => events.push('closed'));
    expect(runs[0]!.signal.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(MINUTE);
    events.push('run ends');
    runs[0]!.reject(new Error('aborted'));
    await closed;
    expect(events).toEqual(['run ends', 'closed']);
    // What fails because it was told to end has not failed.
    expect(failures).toEqual([]);
  });

  it('runs nothing any more once it is closed', async () => {
    const run = vi.fn(() => Promise.resolve());
    const job = { name: 'late', run };
    runner.start(job, MINUTE);
    await runner.close();
    await runner.runNow(job);
    await vi.advanceTimersByTimeAsync(5 * MINUTE);
    expect(run).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
    await expect(runner.run(job, new AbortController().signal)).rejects.toThrow('aborted');
  });
});

describe('a run that somebody waits for', () => {
  const error = new Error('the disk is full');

  it('rejects with why it failed, and tells nobody else', async () => {
    const { signal } = new AbortController();
    const run = runner.run({ name: 'unlucky', run: () => Promise.reject(error) }, signal);
    await expect(run).rejects.toBe(error);
    expect(failures).toEqual([]);
  });

  it('is the one that is under way, which tells of its failure once', async () => {
    const { job, runs } = manualJob();
    const asked = runner.run(job, new AbortController().signal);
    const joined = [runner.runNow(job), runner.runNow(job)];
    expect(runs).toHaveLength(1);
    runs[0]!.reject(error);
    await expect(asked).rejects.toBe(error);
    await Promise.all(joined);
    expect(failures).toEqual([{ job: 'manual', error }]);
  });

  it('ends when it is called off, and only then rejects', async () => {
    const { job, runs } = manualJob();
    const abort = new AbortController();
    const run = runner.run(job, abort.signal);
    const reason = new Error('called off');
    abort.abort(reason);
    expect(runs[0]!.signal.aborted).toBe(true);
    void runner.runNow(job);
    expect(runs).toHaveLength(1);
    runs[0]!.reject(reason);
    await expect(run).rejects.toBe(reason);
  });

  it('goes on without whoever has only joined it and leaves', async () => {
    const { job, runs } = manualJob();
    const begun = runner.runNow(job);
    const abort = new AbortController();
    const joined = runner.run(job, abort.signal);
    const reason = new Error('called off');
    abort.abort(reason);
    await expect(joined).rejects.toBe(reason);
    expect(runs[0]!.signal.aborted).toBe(false);
    runs[0]!.resolve(undefined);
    await begun;
  });

  it('does not begin for whoever has called it off already', async () => {
    const { job, runs } = manualJob();
    const reason = new Error('called off');
    await expect(runner.run(job, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(runs).toHaveLength(0);
  });
});

function throwing(error: Error): () => Promise<void> {
  return () => {
    throw error;
  };
}
