/** Pages of lists: one more is asked for than is shown, to know whether there are more. */
import { AdminError, type PageRequest } from './administration.ts';
import type { Page } from './views.ts';

const MAX_LIMIT = 1000;

/** @param load at most as many as it is asked for @param keyOf what to go on after */
export async function pageOf<T, V>(
  { limit }: PageRequest,
  load: (count: number) => Promise<readonly T[]>,
  { keyOf, viewOf }: { readonly keyOf: (item: T) => string; readonly viewOf: (item: T) => V | Promise<V> },
): Promise<Page<V>> {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new AdminError('invalid', `a page has 1 to ${MAX_LIMIT} items`);
  }
  const found = await load(limit + 1);
  const shown = found.slice(0, limit);
  const last = found.length > limit ? shown.at(-1) : undefined;
  const items: V[] = [];
  for (const item of shown) items.push(await viewOf(item));
  return { items, ...(last === undefined ? {} : { next: keyOf(last) }) };
}

/** What `after` stands for. @throws AdminError `invalid` */
export function afterOf<T extends string>(
  after: string | undefined,
  isKey: (text: string) => text is T,
): T | undefined {
  if (after === undefined || isKey(after)) return after;
  throw new AdminError('invalid', `there is no page after ${JSON.stringify(after.slice(0, 200))}`);
}
