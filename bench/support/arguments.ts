/** The command line of the benchmark. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Options, PeerName } from './scenario.ts';

const DEFAULT_ROUNDS = 5;

export const HELP = `Usage: npm run bench -- [options]

Measures Entrepôt against Distribution and nginx, on this machine, and says what it found.

Options:
  --short             small sizes and one round: to see that all of it works
  --rounds N          how often each case is measured (default ${DEFAULT_ROUNDS}; with --short 1)
  --only NAME,...     these scenarios alone
  --peers NAME,...    these peers alone
  --out DIR           where the page, the charts and the JSON go (default bench/results)
  --list              the names of the scenarios and of the peers
  -h, --help          print this

BENCH_DIST names another build of Entrepôt to measure, instead of dist/.
Exit codes: 0 success, 1 errors while measuring or something missing, 2 wrong usage.
`;

export type Command =
  | { readonly kind: 'help' | 'list' }
  | { readonly kind: 'run'; readonly options: Options; readonly out: string };

export class UsageError extends Error {}

export interface Known {
  readonly scenarios: readonly string[];
  readonly peers: readonly PeerName[];
}

/** @throws UsageError */
export function parseCommand(args: readonly string[], known: Known): Command {
  const values = parse(args);
  if (values.help) return { kind: 'help' };
  if (values.list) return { kind: 'list' };
  const isShort = values.short ?? false;
  const only = values.only && namesIn(values.only, known.scenarios, 'scenario');
  const peers = values.peers && namesIn(values.peers, known.peers, 'peer');
  const rounds = values.rounds === undefined ? (isShort ? 1 : DEFAULT_ROUNDS) : roundsOf(values.rounds);
  return {
    kind: 'run',
    options: { isShort, rounds, ...(only ? { only } : {}), ...(peers ? { peers } : {}) },
    out: resolve(values.out ?? 'bench/results'),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        short: { type: 'boolean' },
        rounds: { type: 'string' },
        only: { type: 'string' },
        peers: { type: 'string' },
        out: { type: 'string' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function namesIn<Name extends string>(text: string, known: readonly Name[], what: string): readonly Name[] {
  return text.split(',').map((name) => {
    const found = known.find((each) => each === name);
    if (found === undefined) {
      throw new UsageError(`there is no ${what} "${name}"; there are: ${known.join(', ')}`);
    }
    return found;
  });
}

function roundsOf(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new UsageError(`--rounds takes a number from 1 on, not "${text}"`);
  }
  return rounds;
}
