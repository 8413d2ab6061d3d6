/** The command `npm run bench`: runs the scenarios one after the other, prints what each found, and writes the report. */
import { PEERS, peersOf } from './peers/peers.ts';
import { describeMachine } from './report/machine.ts';
import { headOf, writeReport } from './report/report.ts';
import { summarize, type Summary } from './report/summary.ts';
import { screenTable } from './report/table.ts';
import { SCENARIOS } from './scenarios.ts';
import { HELP, parseCommand, UsageError, type Command } from './support/arguments.ts';
import { missing, MissingError, missingPackages } from './support/programs.ts';
import type { Options, PeerName, Sample, Scenario } from './support/scenario.ts';

const EXIT = { success: 0, failure: 1, usage: 2, signal: 128 } as const;

// Servers are killed and directories removed when the process exits: see to it that it does.
for (const [name, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.on(name, () => process.exit(EXIT.signal + number));
}

const say = (text: string) => void process.stdout.write(`${text}\n`);
const complain = (text: string) => void process.stderr.write(`bench: ${text}\n`);

async function main(): Promise<number> {
  const command = parseCommand(process.argv.slice(2), {
    scenarios: SCENARIOS.map(({ name }) => name),
    peers: Object.keys(PEERS) as PeerName[],
  });
  switch (command.kind) {
    case 'help':
      process.stdout.write(HELP);
      return EXIT.success;
    case 'list':
      say(['scenarios:', ...SCENARIOS.map(({ name, title }) => `  ${name.padEnd(20)} ${title}`)].join('\n'));
      say(['peers:', ...Object.keys(PEERS).map((name) => `  ${name}`)].join('\n'));
      return EXIT.success;
    case 'run':
      return run(command);
  }
}

async function run({ options, out }: Extract<Command, { kind: 'run' }>): Promise<number> {
  const packages = missingPackages();
  if (packages.length > 0) throw missing(packages);
  const head = {
    date: new Date().toISOString().slice(0, 10),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    rounds: options.rounds,
    machine: await describeMachine(),
    versions: Object.fromEntries(peersOf(options).map(({ name, version }) => [name, version])),
  };
  say(headOf(head));
  const samples: Sample[] = [];
  const summaries: Summary[] = [];
  const failures: string[] = [];
  for (const scenario of SCENARIOS.filter(({ name }) => options.only?.includes(name) ?? true)) {
    const own: Sample[] = [];
    const failure = await runScenario(scenario, options, own);
    if (failure !== undefined) failures.push(failure);
    if (own.length === 0) continue;
    samples.push(...own);
    const summary = summarize(scenario, own);
    summaries.push(summary);
    say(`\n${summary.title}\n\n${screenTable(summary)}`);
    // Each time, so that an hour's work is not lost to whatever comes next.
    await writeReport(out, { ...head, summaries, samples });
  }
  say(`\nThe page, the charts and all samples are in ${out}.`);
  failures.push(...samples.flatMap(faultOf));
  for (const failure of failures) complain(failure);
  return failures.length === 0 ? EXIT.success : EXIT.failure;
}

/** @returns why it could not be completed; what it measured before that counts */
async function runScenario(
  scenario: Scenario,
  options: Options,
  samples: Sample[],
): Promise<string | undefined> {
  const begin = performance.now();
  const progress = (text: string) => {
    const seconds = Math.round((performance.now() - begin) / 1000);
    complain(`${scenario.name}: ${text} (${seconds} s)`);
  };
  try {
    await scenario.run(options, (sample) => {
      samples.push(sample);
      progress(`${sample.case}, ${sample.peer}`);
    });
    progress('done');
    return undefined;
  } catch (error) {
    return `${scenario.name}: ${describe(error)}`;
  }
}

function faultOf({ scenario, case: name, peer, errors, firstError }: Sample): readonly string[] {
  if (errors === 0) return [];
  return [`${scenario}, ${name}, ${peer}: ${errors} errors${firstError ? `, first: ${firstError}` : ''}`];
}

/** With its causes. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? error.message;
  return error.cause === undefined ? text : `${text}\ncaused by ${describe(error.cause)}`;
}

function messageOf(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\nTry: npm run bench -- --help`;
  return error instanceof MissingError ? error.message : describe(error);
}

try {
  process.exitCode = await main();
} catch (error) {
  complain(messageOf(error));
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failure;
}
