/** Tries again what upstream may do better the next time: a broken connection, a timeout, a 5xx. Nothing else. */
import { ContentMismatchError, SpoolWriteError } from '../blobs/spool.ts';
import { SinkClosedError } from '../lib/outlet.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import { ANSWER_MS } from './deadline.ts';

/** How much is put up with. */
export interface Patience {
  /** Tries in a row that bring nothing. */
  readonly fruitlessTries: number;
  /** Nothing is tried again when nothing has come for so long. */
  readonly fruitlessMs: number;
  /**
   * A body is under way: what breaks it is whatever its connection throws, and it is worth waiting for where upstream,
   * or the circuit breaker, says when to come back.
   */
  readonly isUnderWay: boolean;
}

/** Before a client has headers: it should hear soon. The pauses take some 2 s. */
export const FOR_AN_ANSWER: Patience = { fruitlessTries: 4, fruitlessMs: ANSWER_MS, isUnderWay: false };
/**
 * In the middle of a body, which a client would have to begin anew: the pauses take up to 45 s, a registry's restart.
 * Of the clients, containerd's CRI gives up first: after five minutes without a byte. Two silences of those are not
 * counted here: the one that made the first try fail, and that of the last.
 */
export const FOR_THE_REST: Patience = { fruitlessTries: 9, fruitlessMs: 200_000, isUnderWay: true };

export interface Persistence {
  readonly patience: Patience;
  /** How far it has come: a try that brought something does not count as fruitless. */
  readonly progress: () => number;
  readonly onRetry: (cause: Error) => void;
  /** Resolves after that many milliseconds, or earlier when the signal is aborted. */
  readonly pause: (ms: number) => Promise<void>;
  readonly signal: AbortSignal;
}

/** However much each brought: an upstream that cuts off after every byte is of no use. */
const MAX_TRIES = 100;
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 10_000;
/** What is not the doing of a connection to upstream: another one would not mend it. */
const LASTING = [ContentMismatchError, SpoolWriteError, SinkClosedError];

export async function persist<T>(attempt: () => Promise<T>, persistence: Persistence): Promise<T> {
  const { patience, progress, signal } = persistence;
  let reached = progress();
  let reachedAt = performance.now();
  let fruitless = 0;
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (progress() > reached) {
        fruitless = 0;
        reached = progress();
        reachedAt = performance.now();
      } else {
        fruitless += 1;
      }
      const isInVain =
        fruitless >= patience.fruitlessTries || performance.now() - reachedAt >= patience.fruitlessMs;
      if (!mayPass(error, patience) || isInVain || tries >= MAX_TRIES) throw error;
      persistence.onRetry(error as Error);
      await persistence.pause(pauseAfter(error, fruitless));
      signal.throwIfAborted();
    }
  }
}

/** With jitter, so that those who failed together do not come back together. */
function pauseAfter(error: unknown, fruitless: number): number {
  const told = error instanceof UpstreamError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
  const ms = Math.max(FIRST_PAUSE_MS * 2 ** fruitless, told);
  return Math.min(ms, MAX_PAUSE_MS) * (0.5 + Math.random() / 2);
}

function mayPass(error: unknown, { isUnderWay }: Patience): boolean {
  if (!(error instanceof UpstreamError)) {
    return isUnderWay && !LASTING.some((kind) => error instanceof kind);
  }
  if (error.failure === 'rate-limited') return isUnderWay;
  return error.failure === 'unreachable' && (isUnderWay || error.retryAfterSeconds === undefined);
}
