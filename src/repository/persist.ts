/** Tries again what upstream may do better the next time: a broken connection, a timeout, a 5xx. Nothing else. */
import { ContentMismatchError, SpoolWriteError } from '../blobs/spool.ts';
import { UpstreamError } from '../upstream/upstream.ts';

export interface Persistence {
  /** How far it has come: a try that brought something does not count against the limit. */
  readonly progress: () => number;
  readonly onRetry: (cause: Error) => void;
  /** Resolves after that many milliseconds; rejects when the work is aborted. */
  readonly pause: (ms: number) => Promise<void>;
}

/** Four tries and the pauses between them take some 2 s, well below the 30 s that containerd waits for headers. */
const MAX_FRUITLESS_TRIES = 4;
const FIRST_PAUSE_MS = 200;

export async function persist<T>(attempt: () => Promise<T>, persistence: Persistence): Promise<T> {
  let reached = persistence.progress();
  for (let fruitless = 0; ;) {
    try {
      return await attempt();
    } catch (error) {
      fruitless = persistence.progress() > reached ? 0 : fruitless + 1;
      reached = persistence.progress();
      if (!mayPass(error) || fruitless >= MAX_FRUITLESS_TRIES) throw error;
      persistence.onRetry(error as Error);
      // Jitter, so that those who failed together do not come back together.
      await persistence.pause(FIRST_PAUSE_MS * 2 ** fruitless * (0.5 + Math.random() / 2));
    }
  }
}

/** What breaks in the middle of a body is whatever the connection threw; the exceptions are known by their names. */
function mayPass(error: unknown): boolean {
  if (error instanceof UpstreamError) return error.failure === 'unreachable';
  return !(error instanceof ContentMismatchError || error instanceof SpoolWriteError);
}
