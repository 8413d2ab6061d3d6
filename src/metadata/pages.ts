/** Reads a long list a page at a time, by the key of the last entry; others get their turn in between. */
import { setImmediate } from 'node:timers/promises';

/** @param read gives the entries behind one, or the first ones: fewer than `size` only where there are no more */
export async function* pagesOf<T>(
  size: number,
  read: (last: T | undefined, size: number) => readonly T[],
): AsyncIterable<readonly T[]> {
  for (let last: T | undefined; ;) {
    const page = read(last, size);
    yield page;
    if (page.length < size) return;
    last = page.at(-1);
    await setImmediate();
  }
}
