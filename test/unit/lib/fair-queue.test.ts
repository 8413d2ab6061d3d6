import { describe, expect, it } from 'vitest';
import { FairQueue } from '../../../src/lib/fair-queue.ts';

const staying = () => new AbortController().signal;

/** Enters for each of the keys in order; `entered` fills as they are let in. */
function enterAll(queue: FairQueue, keys: readonly string[]) {
  const entered: { readonly key: string; readonly place: Disposable }[] = [];
  for (const key of keys) void queue.enter(key, staying()).then((place) => entered.push({ key, place }));
  return entered;
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('FairQueue', () => {
  it('lets in as many as there are places, and the next when one is given back', async () => {
    const queue = new FairQueue(2);
    const entered = enterAll(queue, ['a', 'a', 'a']);
    await settle();
    expect(entered).toHaveLength(2);
    expect([queue.taken, queue.waiting]).toEqual([2, 1]);
    entered[0]!.place[Symbol.dispose]();
    await settle();
    expect(entered).toHaveLength(3);
    expect([queue.taken, queue.waiting]).toEqual([2, 0]);
  });

  it('lets every key take its turn, however many wait under one of them', async () => {
    const queue = new FairQueue(1);
    const entered = enterAll(queue, ['many', 'many', 'many', 'many', 'few', 'other', 'few']);
    for (let index = 0; index < 7; index += 1) {
      await settle();
      entered[index]!.place[Symbol.dispose]();
    }
    expect(entered.map(({ key }) => key)).toEqual(['many', 'many', 'few', 'other', 'many', 'few', 'many']);
  });

  it('counts a place once that is given back twice', async () => {
    const queue = new FairQueue(1);
    const place = await queue.enter('a', staying());
    place[Symbol.dispose]();
    place[Symbol.dispose]();
    expect(queue.taken).toBe(0);
    const entered = enterAll(queue, ['a', 'a']);
    await settle();
    expect(entered).toHaveLength(1);
  });

  it('forgets who leaves while waiting, and lets the one behind in', async () => {
    const queue = new FairQueue(1);
    const [first] = [await queue.enter('a', staying())];
    const leaving = new AbortController();
    const left = queue.enter('b', leaving.signal);
    const entered = enterAll(queue, ['c']);
    const reason = new Error('gone');
    leaving.abort(reason);
    await expect(left).rejects.toBe(reason);
    expect(queue.waiting).toBe(1);
    first[Symbol.dispose]();
    await settle();
    expect(entered.map(({ key }) => key)).toEqual(['c']);
    await expect(queue.enter('d', AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
