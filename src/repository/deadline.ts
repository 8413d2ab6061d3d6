/** How long upstream may take to say something, over all that it takes: a free connection, tokens, redirects, retries. */
import { UpstreamError } from '../upstream/upstream.ts';

/** Where nobody can be served otherwise. containerd gives up on headers after 30 s. */
export const ANSWER_MS = 25_000;
/** Where an older answer is at hand. */
export const BETTER_ANSWER_MS = 5000;

/**
 * @param ask gets a signal that is aborted when the time is up, or with `signal`; what it has returned may go on with it
 * @throws UpstreamError `unreachable` when the time is up
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(new UpstreamError('unreachable', `no answer within ${ms / 1000} s`));
  }, ms);
  try {
    return await ask(AbortSignal.any([signal, deadline.signal]));
  } finally {
    clearTimeout(timer);
  }
}
