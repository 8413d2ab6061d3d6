/** Who is measured when: in turn, A B C A B C, so that the machine's good and bad minutes fall on all alike. */
import type { Options } from './scenario.ts';

/** Does that with each of them in each round. */
export async function inTurns<T>(
  { rounds }: Pick<Options, 'rounds'>,
  all: readonly T[],
  work: (one: T, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (const one of all) await work(one, round);
  }
}
