/** The command line: finds the command that is meant, reads its options, and turns what goes wrong into an exit code. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';
import { AdminClient } from './admin-client.ts';
import { Given, type Command, type Options, type Programs, type Session } from './command.ts';
import { COMMANDS } from './command-table.ts';
import { findEndpoint } from './endpoint.ts';
import { EXIT, exitCodeOf, InterruptedError, UsageError } from './errors.ts';
import { printable } from './format.ts';
import { commandHelp, GENERAL_OPTIONS, generalHelp } from './help.ts';
import { screenOf, type Output } from './screen.ts';

/** What the process has that a command may use. */
export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly now: () => number;
  /** By Ctrl-C. */
  readonly interrupted: AbortSignal;
}

/** Resolves to the exit code. */
export async function runCli(args: readonly string[], programs: Programs, world: World): Promise<number> {
  const { stderr } = world;
  try {
    return await dispatch(args, programs, world);
  } catch (error) {
    if (error instanceof InterruptedError) return EXIT.interrupted;
    const help = error instanceof UsageError ? `\nTry: ${helpFor(error)}` : '';
    const lines = (error as Error).message.split('\n').map(printable).join('\n');
    stderr.write(`entrepot: ${lines}${help}\n`);
    return exitCodeOf(error);
  }
}

function helpFor({ command }: UsageError): string {
  return command === undefined ? 'entrepot --help' : `entrepot ${command} --help`;
}

async function dispatch(args: readonly string[], programs: Programs, world: World): Promise<number> {
  const say = (text: string): number => {
    world.stdout.write(text);
    return EXIT.success;
  };
  const { columns } = screenOf(world.stdout, world.env);
  const { name, rest } = commandOf(args);
  if (name === 'version') return say(`${programs.version}\n`);
  if (name === 'help')
    return say(
      rest[0] === undefined ? generalHelp(COMMANDS, columns) : commandHelp(findCommand(rest[0]), columns),
    );
  if (name === undefined && has(args, 'help')) return say(generalHelp(COMMANDS, columns));
  if (name === undefined && has(args, 'version')) return say(`${programs.version}\n`);
  const command = findCommand(name ?? 'serve');
  const { values, positionals } = parse(args, command);
  if (values['help'] !== undefined) return say(commandHelp(command, columns));
  const [, ...given] = name === undefined ? ['', ...positionals] : positionals;
  checkArguments(given, command);
  return command.run(new Given(given, values), sessionOf(new Given(given, values), programs, world));
}

/** What all commands know, so that the value of an option is not taken for a command. */
const ALL_OPTIONS = Object.assign({}, GENERAL_OPTIONS, ...COMMANDS.map(({ options }) => options)) as Options;

/** Behind an option that nobody knows, nobody knows what is a command. */
function commandOf(args: readonly string[]): {
  readonly name: string | undefined;
  readonly rest: readonly string[];
} {
  const { positionals, tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: parsedOptions(ALL_OPTIONS),
  });
  const first = tokens.find(
    (token) => token.kind === 'positional' || (token.kind === 'option' && !(token.name in ALL_OPTIONS)),
  );
  const [name, ...rest] = positionals;
  return first?.kind === 'option' ? { name: undefined, rest: [] } : { name, rest };
}

function has(args: readonly string[], option: string): boolean {
  const { values } = parseArgs({ args: [...args], strict: false, options: parsedOptions(ALL_OPTIONS) });
  return values[option] !== undefined;
}

function findCommand(name: string): Command {
  const command = COMMANDS.find((one) => one.name === name);
  if (command) return command;
  const meant = nearest(name, new Set(COMMANDS.map((one) => one.name)));
  throw new UsageError(`there is no command ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}`);
}

function parse(args: readonly string[], { name, options }: Command) {
  const { help } = GENERAL_OPTIONS;
  const known = parsedOptions({ ...options, ...(help && { help }) });
  const given = { args: [...args], allowPositionals: true, options: known };
  const { tokens } = parseArgs({ ...given, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === 'option' && !(token.name in known)) throw unknownOption(token.rawName, known, name);
  }
  try {
    return parseArgs(given);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (!code?.startsWith('ERR_PARSE_ARGS')) throw cause;
    throw new UsageError(message, name, { cause });
  }
}

function unknownOption(rawName: string, known: object, command: string): UsageError {
  const meant = nearest(rawName, new Set(Object.keys(known).map((name) => `--${name}`)));
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  return new UsageError(`there is no option ${rawName}${hint}`, command);
}

function parsedOptions(options: Options) {
  return Object.fromEntries(
    Object.entries(options).map(([name, { short, value, isMultiple = false }]) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: isMultiple,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
}

function checkArguments(given: readonly string[], { name, argument }: Command): void {
  const most = argument === undefined ? 0 : argument.isMultiple ? Infinity : 1;
  if (given.length > most) throw new UsageError(`too many arguments: ${given.slice(most).join(' ')}`, name);
  if (argument === undefined) return;
  if (given.length === 0 && !argument.isOptional) throw new UsageError(`${argument.name} is missing`, name);
  const { offers } = argument;
  const unknown = offers && given.find((text) => !offers.includes(text));
  if (unknown !== undefined) {
    throw new UsageError(`${argument.name} is one of ${offers?.join(', ') ?? ''}, not ${unknown}`, name);
  }
}

function sessionOf(given: Given, programs: Programs, world: World): Session {
  const { env, stdout, stderr, stdin, now, interrupted } = world;
  const load = async () => {
    const { loadConfig } = await import('../config/load-config.ts');
    return loadConfig({ env, readFile: (path) => readFileSync(path, 'utf8'), file: given.text('config') });
  };
  return {
    screen: screenOf(stdout, env),
    complain: (text) => void stderr.write(`entrepot: ${text}\n`),
    ask: stdin.isTTY && stderr.isTTY ? (question) => ask(question, world) : undefined,
    env,
    now,
    interrupted,
    pause: async (ms) => {
      try {
        await setTimeout(ms, undefined, { signal: interrupted });
      } catch (cause) {
        throw new InterruptedError({ cause });
      }
    },
    loadConfig: load,
    api: async () => new AdminClient(await findEndpoint(given, env, load), interrupted),
    programs,
  };
}

/** On standard error, for standard output may go elsewhere. The end of the input is an empty answer. */
async function ask(question: string, { stdin, stderr }: World): Promise<string> {
  const output = stderr as Output & NodeJS.WritableStream;
  const lines = createInterface({ input: stdin, output });
  try {
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    lines.once('close', () => resolve(''));
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}
