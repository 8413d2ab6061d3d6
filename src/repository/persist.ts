/** Tries again what upstream may do better the next time: a broken connection, a timeout, a 5xx. Nothing else. */
import { ContentMismatchError, SpoolWriteError } from '../blobs/spool.ts';
import { UpstreamError } from '../upstream/upstream.ts';

export interface Persistence {
  /** How far it has come: a try that brought something does not count against the limit. */
  readonly progress: () => number;
  readonly onRetry: (cause: Error) => void;
  /** Resolves after that many milliseconds, or earlier when the signal is aborted. */
  readonly pause: (ms: number) => Promise<void>;
  readonly signal: AbortSignal;
}

/** The pauses between four tries take some 2 s; how long the tries take is for who makes them (deadline.ts). */
const MAX_FRUITLESS_TRIES = 4;
/** However much each brought: an upstream that cuts off after every byte is of no use. */
const MAX_TRIES = 100;
const FIRST_PAUSE_MS = 200;

export async function persist<T>(attempt: () => Promise<T>, persistence: Persistence): Promise<T> {
  let reached = persistence.progress();
  let fruitless = 0;
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      persistence.signal.throwIfAborted();
      fruitless = persistence.progress() > reached ? 0 : fruitless + 1;
      reached = persistence.progress();
      if (!mayPass(error) || fruitless >= MAX_FRUITLESS_TRIES || tries >= MAX_TRIES) throw error;
      persistence.onRetry(error as Error);
      // Jitter, so that those who failed together do not come back together.
      await persistence.pause(FIRST_PAUSE_MS * 2 ** fruitless * (0.5 + Math.random() / 2));
      persistence.signal.throwIfAborted();
    }
  }
}

/** What breaks in the middle of a body is whatever the connection threw; the exceptions are known by their names. */
function mayPass(error: unknown): boolean {
  if (error instanceof UpstreamError) return error.failure === 'unreachable';
  return !(error instanceof ContentMismatchError || error instanceof SpoolWriteError);
}
