/** `pull`: has the mirror fetch references before anybody needs them, and shows how that goes. */
import type { JobView } from '../admin/views.ts';
import {
  API_OPTIONS,
  DETACH_OPTION,
  JSON_OPTION,
  type Command,
  type Given,
  type Session,
} from './command.ts';
import { EXIT } from './errors.ts';
import { endOf, followJob } from './follow-job.ts';
import { formatJson, printable } from './format.ts';
import { PullProgress } from './pull-progress.ts';
import { LiveLines } from './screen.ts';

export const PULL: Command = {
  name: 'pull',
  summary: 'fetch references into the cache, before anybody asks for them',
  argument: { name: 'REFERENCE', isMultiple: true },
  options: {
    platform: {
      value: 'OS/ARCHITECTURE',
      isMultiple: true,
      summary: 'only that platform, such as linux/arm64; may be given several times. Without it, all of them',
    },
    ...DETACH_OPTION,
    ...JSON_OPTION,
    ...API_OPTIONS,
  },
  details: [
    'References are written as docker takes them: alpine, alpine:3, ghcr.io/owner/name@sha256:...',
    'Where the default upstream is not Docker Hub itself, write library/alpine.',
    'Ctrl-C cancels the job; what has come stays, and what is on its way may still come.',
    'A second Ctrl-C does not wait for that.',
  ],
  run: pull,
};

async function pull(given: Given, session: Session): Promise<number> {
  const api = await session.api();
  const { screen } = session;
  const started = await api.prefetch(given.arguments, given.texts('platform'));
  if (given.has('detach')) {
    screen.write(given.has('json') ? `${formatJson(started)}\n` : `job ${printable(started.id)} runs\n`);
    return EXIT.success;
  }
  if (given.has('json')) {
    const job = await followJob(session, api, started);
    screen.write(`${formatJson(job)}\n`);
    return endOfPull(session, job);
  }
  const progress = new PullProgress(session.now);
  const job = await followJob(session, api, started, painter(session, progress));
  screen.write(`${progress.summary(job)}\n`);
  return endOfPull(session, job);
}

function painter({ screen, env }: Session, progress: PullProgress): (job: JobView) => void {
  if (screen.isTerminal && env['TERM'] !== 'dumb') {
    const live = new LiveLines(screen);
    return (job) => live.draw(progress.lines(job, screen.rows - 1));
  }
  return (job) => {
    for (const line of progress.milestones(job)) screen.write(`${line}\n`);
  };
}

/** A job is well only if each of its references is. */
function endOfPull(session: Session, job: JobView): number {
  const failed = (job.prefetch ?? []).filter(({ state }) => state === 'failed');
  for (const { reference, error } of failed) {
    session.complain(`${printable(reference)}: ${printable(error ?? 'it failed, and did not say why')}`);
  }
  if (job.state === 'succeeded') return failed.length > 0 ? EXIT.failure : EXIT.success;
  return failed.length > 0 ? EXIT.failure : endOf(session, job);
}
