/** A job of the mirror, watched until it has ended; Ctrl-C cancels it. */
import type { JobView } from '../admin/views.ts';
import type { AdminClient } from './admin-client.ts';
import type { Given, Session } from './command.ts';
import { EXIT, InterruptedError } from './errors.ts';
import { formatJson, printable } from './format.ts';

const INTERVAL_MS = 300;

/** @param watch is shown each state of it, the last one included */
export async function followJob(
  session: Session,
  api: AdminClient,
  started: JobView,
  watch: (job: JobView) => void = () => undefined,
): Promise<JobView> {
  let job = started;
  try {
    watch(job);
    while (job.state === 'running') {
      await session.pause(INTERVAL_MS);
      job = await api.job(job.id);
      watch(job);
    }
    return job;
  } catch (error) {
    // It was started for whoever does not want it any more.
    if (error instanceof InterruptedError) await api.cancel(job.id);
    throw error;
  }
}

/**
 * What is common to the commands that start a job: it is printed and left alone, or followed to its end.
 * @param tell what it did, for people
 */
export async function runJob(
  given: Given,
  session: Session,
  start: (api: AdminClient) => Promise<JobView>,
  tell: (job: JobView) => string,
): Promise<number> {
  const api = await session.api();
  const started = await start(api);
  const { screen } = session;
  if (given.has('detach')) {
    screen.write(given.has('json') ? `${formatJson(started)}\n` : `job ${printable(started.id)} runs\n`);
    return EXIT.success;
  }
  const job = await followJob(session, api, started);
  if (given.has('json')) screen.write(`${formatJson(job)}\n`);
  else if (job.state === 'succeeded') screen.write(`${tell(job)}\n`);
  return endOf(session, job);
}

/** The exit code of a job that has ended; says so where it did not end well. */
export function endOf(session: Session, job: JobView): number {
  if (job.state === 'succeeded') return EXIT.success;
  session.complain(
    job.state === 'cancelled' ? 'it was cancelled' : printable(job.error ?? 'it failed, and did not say why'),
  );
  return EXIT.failure;
}
