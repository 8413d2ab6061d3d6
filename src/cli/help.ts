/** What `--help` prints, of the table of commands, as wide as the terminal is. */
import type { Argument, Command, Options } from './command.ts';
import { EXIT_CODES } from './errors.ts';
import { wrap } from './format.ts';

const HELP_OPTION: Options = { help: { short: 'h', summary: 'print this' } };
const VERSION_OPTION: Options = { version: { short: 'v', summary: 'print the version' } };
/** Of every command, and of none. */
export const GENERAL_OPTIONS: Options = { ...HELP_OPTION, ...VERSION_OPTION };

export function generalHelp(commands: readonly Command[], width: number): string {
  return [
    'Usage: entrepot [COMMAND] [OPTIONS]',
    '',
    'A pull-through caching container registry mirror.',
    '',
    'Commands:',
    ...columns(
      commands.map(({ name, summary, argument }) => [`${name}${formatArgument(argument)}`, summary]),
      width,
    ),
    '',
    'Options:',
    ...optionLines(GENERAL_OPTIONS, width),
    '',
    'entrepot COMMAND --help tells more of each, such as --config, --url and --json.',
    'Every setting has an environment variable: docs/configuration.md.',
    '',
    'Exit codes:',
    ...columns(
      EXIT_CODES.map(([code, meaning]) => [String(code), meaning]),
      width,
    ),
    '',
  ].join('\n');
}

export function commandHelp(command: Command, width: number): string {
  const { name, summary, argument, options, details = [] } = command;
  const offers = argument?.offers ? [`${argument.name} is one of: ${argument.offers.join(', ')}`] : [];
  const notes = [...offers, ...details];
  return [
    `Usage: entrepot ${name}${formatArgument(argument)} [OPTIONS]`,
    '',
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    ...(notes.length > 0 ? ['', ...notes] : []),
    '',
    'Options:',
    ...optionLines({ ...options, ...HELP_OPTION }, width),
    '',
  ].join('\n');
}

function formatArgument(argument: Argument | undefined): string {
  if (!argument) return '';
  const text = `${argument.name}${argument.isMultiple ? '...' : ''}`;
  return argument.isOptional ? ` [${text}]` : ` ${text}`;
}

function optionLines(options: Options, width: number): readonly string[] {
  return columns(
    Object.entries(options).map(([name, { short, value, summary }]) => {
      const head = short === undefined ? '    ' : `-${short}, `;
      return [`${head}--${name}${value === undefined ? '' : ` ${value}`}`, summary];
    }),
    width,
  );
}

function columns(rows: readonly (readonly [string, string])[], width: number): readonly string[] {
  const indent = Math.max(...rows.map(([head]) => head.length)) + 3;
  return rows.flatMap(([head, text]) =>
    wrap(text, width - indent - 2).map((line, at) => `  ${(at === 0 ? head : '').padEnd(indent)}${line}`),
  );
}
