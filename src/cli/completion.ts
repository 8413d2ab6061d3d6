/** Scripts with which shells complete commands, options and what these may be, of the table of commands. */
import type { Command, Option } from './command.ts';
import { GENERAL_OPTIONS } from './help.ts';

type Writer = (commands: readonly Command[]) => string;

const WRITERS: Readonly<Record<string, Writer>> = { bash, zsh, fish };
export const SHELLS: readonly string[] = Object.keys(WRITERS);

export function completionScript(shell: string, commands: readonly Command[]): string {
  const write = WRITERS[shell];
  if (!write) throw new TypeError(`there is no shell ${shell} to complete for`);
  return write(commands);
}

function optionsOf({ options }: Command): readonly (readonly [string, Option])[] {
  return Object.entries({ ...options, help: GENERAL_OPTIONS['help'] ?? { summary: '' } });
}

/** An option means the same in every command that has it. */
function offersByOption(commands: readonly Command[]): ReadonlyMap<string, Option['offers']> {
  const withValue = commands.flatMap(optionsOf).filter(([, { value }]) => value !== undefined);
  return new Map(withValue.map(([name, { offers }]) => [name, offers]));
}

const words = (names: readonly string[]): string => names.join(' ');

function bash(commands: readonly Command[]): string {
  const values = [...offersByOption(commands)].map(([name, offers]) => {
    const short = commands
      .flatMap(optionsOf)
      .find(([other, { short }]) => other === name && short)?.[1].short;
    const pattern = short === undefined ? `--${name}` : `--${name} | -${short}`;
    return `    ${pattern}) ${replyOf(offers)}; return ;;`;
  });
  const cases = commands.map((command) => {
    const options = optionsOf(command).map(([name]) => `--${name}`);
    return `    ${command.name}) options='${words(options)}' arguments='${words(command.argument?.offers ?? [])}' ;;`;
  });
  return `# bash completion for entrepot
_entrepot() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command='' options='' arguments='' at
  COMPREPLY=()
  # --option=value comes as three words.
  if [ "$before" = = ]; then before=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  if [ "$word" = = ]; then word=''; fi
  case $before in
${values.join('\n')}
  esac
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at - 1]} in --config | -c | =) continue ;; esac
    case \${COMP_WORDS[at]} in -* | =) ;; *) command=\${COMP_WORDS[at]}; break ;; esac
  done
  case $command in
    '') options='--config --help --version' arguments='${words(commands.map(({ name }) => name))}' ;;
${cases.join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$arguments" -- "$word")) ;;
  esac
}
complete -F _entrepot entrepot
`;
}

function replyOf(offers: Option['offers']): string {
  if (offers === undefined) return 'COMPREPLY=()';
  if (offers !== 'files') return `COMPREPLY=($(compgen -W '${words(offers)}' -- "$word"))`;
  // A slash behind directories, and names with spaces in one piece; a shell that is called by hand can't be told so.
  return `compopt -o filenames 2> /dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$word"))`;
}

function zsh(commands: readonly Command[]): string {
  const names = commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = commands.map((command) => {
    const specs = optionsOf(command).flatMap(([name, option]) => zshSpecs(name, option));
    const { argument } = command;
    const action = argument?.offers ? `(${words(argument.offers)})` : '';
    const rest = argument ? [quoted(`${argument.isMultiple ? '*' : '1'}:${argument.name}:${action}`)] : [];
    return `    ${command.name}) _arguments -s ${[...specs, ...rest].join(' ')} ;;`;
  });
  return `#compdef entrepot
# zsh completion for entrepot
_entrepot() {
  local -a commands=(
${names.join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe -t commands command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join('\n')}
  esac
}
# From a directory of fpath this file is the function itself, and has to complete at its first call too.
if [[ $funcstack[1] == _entrepot ]]; then _entrepot "$@"; else compdef _entrepot entrepot; fi
`;
}

function zshSpecs(name: string, { short, value, isMultiple, summary, offers }: Option): readonly string[] {
  const text = `[${summary.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`)}]`;
  const action = offers === undefined ? ' ' : offers === 'files' ? '_files' : `(${words(offers)})`;
  const tail = value === undefined ? text : `${text}:${value}:${action}`;
  const star = isMultiple ? '*' : '';
  return [`--${name}`, ...(short === undefined ? [] : [`-${short}`])].map((flag) =>
    quoted(`${star}${flag}${tail}`),
  );
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const { name, summary, argument } = command;
    const within = `complete -c entrepot -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c entrepot -n __fish_use_subcommand -a ${name} -d ${fishQuoted(summary)}`,
      ...(argument?.offers ? [`${within} -a '${words(argument.offers)}'`] : []),
      ...optionsOf(command).map(([option, { short, value, summary: text, offers }]) =>
        [
          `${within} -l ${option}`,
          ...(short === undefined ? [] : [`-s ${short}`]),
          ...(value === undefined ? [] : [offers === 'files' ? '-r -F' : '-x']),
          ...(offers !== undefined && offers !== 'files' ? [`-a '${words(offers)}'`] : []),
          `-d ${fishQuoted(text)}`,
        ].join(' '),
      ),
    ];
  });
  const general = Object.entries(GENERAL_OPTIONS).map(
    ([name, { short = '', summary }]) =>
      `complete -c entrepot -n __fish_use_subcommand -l ${name} -s ${short} -d ${fishQuoted(summary)}`,
  );
  return ['# fish completion for entrepot', 'complete -c entrepot -f', ...general, ...lines, ''].join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`;
}
