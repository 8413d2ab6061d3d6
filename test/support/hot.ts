/** Whether a request was answered before the router: nothing in an answer shows it. */
import { vi } from 'vitest';
import { HotAnswers } from '../../src/http/hot-answers.ts';

/** Watches every mirror of this process, until it is disposed. */
export function watchHot() {
  const find = vi.spyOn(HotAnswers.prototype, 'find');
  return {
    /** Of the requests that were made meanwhile, one after the other. */
    async by<T>(requests: () => Promise<T>): Promise<{ readonly isHot: boolean; readonly result: T }> {
      find.mockClear();
      const result = await requests();
      return { isHot: find.mock.results.at(-1)?.value !== undefined, result };
    },
    [Symbol.dispose]: () => find.mockRestore(),
  };
}
