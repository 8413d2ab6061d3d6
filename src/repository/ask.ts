/**
 * How a question is put to upstream (where a tag points, whether a repository has a blob): again where it failed and
 * may not fail the next time, and never for longer than whoever waits for the answer.
 */
import { UpstreamError } from '../upstream/upstream.ts';
import { ANSWER_MS, BETTER_ANSWER_MS, within } from './deadline.ts';
import { FOR_AN_ANSWER, persist } from './persist.ts';

export type QuestionKind = 'manifest' | 'blob' | 'tags' | 'referrers';

export interface AskOptions {
  /** An older answer is at hand, so that failing costs little: upstream is asked once, and has to be quick. */
  readonly hasOlderAnswer: boolean;
}

/** @throws what the question throws, or UpstreamError `unreachable` when the time is up */
export type Ask = <T>(
  kind: QuestionKind,
  question: (until: AbortSignal) => Promise<T>,
  options?: AskOptions,
) => Promise<T>;

export interface AskerOptions {
  /** Aborted when the process ends: what serves several clients hangs on none of them. */
  readonly signal: AbortSignal;
  /** Resolves after that many milliseconds; rejects when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Upstream's answer was none that a registry may give. */
  readonly onRejected: (kind: QuestionKind) => void;
}

export function asker({ signal, pause, onRejected }: AskerOptions): Ask {
  return async (kind, question, { hasOlderAnswer } = { hasOlderAnswer: false }) => {
    try {
      if (hasOlderAnswer) return await within(BETTER_ANSWER_MS, signal, question);
      return await within(ANSWER_MS, signal, (until) =>
        persist(() => question(until), {
          patience: FOR_AN_ANSWER,
          progress: () => 0,
          onRetry: () => undefined, // The exchange that failed is in the log.
          pause: (ms) => pause(ms, until).catch(() => undefined),
          signal: until,
        }),
      );
    } catch (error) {
      if (error instanceof UpstreamError && error.failure === 'protocol') onRejected(kind);
      throw error;
    }
  };
}
