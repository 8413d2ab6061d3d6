/**
 * The rounds of a fuzz test. Each has a seed of its own, `<seed>/<round>`, that its failure names and that runs it
 * alone: FUZZ_SEED=2024-02-29/17. FUZZ_SEED=2024-02-29 runs all of that day's, FUZZ_ROUNDS how many of them.
 */
import { Random } from '../../support/random.ts';

const FIXED_SEED = 'entrepot';

/** One that never changes, so that what was right stays right, and one that is new every day. */
export function seeds(): readonly string[] {
  const seed = process.env['FUZZ_SEED'];
  return seed === undefined ? [FIXED_SEED, new Date().toISOString().slice(0, 10)] : [seed];
}

/** @param usual how many rounds there are where nobody says */
export function roundsOf(seed: string, usual: number): readonly string[] {
  if (seed.includes('/')) return [seed];
  const count = Number(process.env['FUZZ_ROUNDS'] ?? usual);
  return Array.from({ length: count }, (_, round) => `${seed}/${round}`);
}

/** Runs the rounds, so many at a time; the first that fails ends it, with its seed. */
export async function runRounds(
  rounds: readonly string[],
  atOnce: number,
  run: (random: Random) => void | Promise<void>,
): Promise<void> {
  const left = [...rounds].reverse();
  const work = async () => {
    for (let seed = left.pop(); seed !== undefined; seed = left.pop()) {
      try {
        await run(new Random(seed));
      } catch (cause) {
        left.length = 0;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`FUZZ_SEED=${seed}: ${reason}`, { cause });
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: atOnce }, work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
