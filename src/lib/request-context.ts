/**
 * On whose behalf something is done: set where a request comes in, read where somebody else is asked for it. What
 * several wait for is done on behalf of the first of them.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Span } from './trace.ts';

export interface RequestContext {
  /** Of the request, as the log has it. */
  readonly id: string;
  /** Where it is traced. */
  readonly span?: Span | undefined;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** All that `work` begins, however much later it goes on, has this context. */
export function inContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

export function currentContext(): RequestContext | undefined {
  return storage.getStore();
}
