/** All commands, in the order in which help lists them. */
import { CHECK, EVICT, OFFLINE, PIN, PURGE, SCRUB, UNPIN } from './changes.ts';
import { CLIENT_CONFIG } from './client-config.ts';
import { CONFIG_OPTION, type Command } from './command.ts';
import { completionScript, SHELLS } from './completion.ts';
import { DOCTOR } from './doctor.ts';
import { EXIT } from './errors.ts';
import { HEALTHCHECK } from './healthcheck.ts';
import { DU, JOBS, LS, PINS } from './listings.ts';
import { PULL } from './pull.ts';
import { STATUS } from './status.ts';

const SERVE: Command = {
  name: 'serve',
  summary: 'run the mirror (the default)',
  options: CONFIG_OPTION,
  run: async (_given, { loadConfig, programs }) => programs.serve(await loadConfig()),
};

const CONFIG: Command = {
  name: 'config',
  summary: 'print the configuration in effect, secrets masked',
  options: CONFIG_OPTION,
  run: async (_given, { loadConfig, screen }) => {
    const { formatConfig } = await import('../config/describe-config.ts');
    screen.write(formatConfig(await loadConfig()));
    return EXIT.success;
  },
};

const REBUILD_INDEX: Command = {
  name: 'rebuild-index',
  summary: 'make the index anew from what lies on disk, with the mirror stopped',
  options: CONFIG_OPTION,
  run: async (_given, { loadConfig, programs }) => programs.rebuildIndex(await loadConfig()),
};

const COMPLETION: Command = {
  name: 'completion',
  summary: 'print a script with which the shell completes commands and options',
  argument: { name: 'SHELL', offers: SHELLS },
  options: {},
  details: [
    'bash:  source <(entrepot completion bash)',
    'zsh:   source <(entrepot completion zsh), after compinit',
    'fish:  entrepot completion fish | source',
  ],
  run: (given, { screen }) => {
    screen.write(completionScript(given.arguments[0] ?? '', COMMANDS));
    return Promise.resolve(EXIT.success);
  },
};

export const COMMANDS: readonly Command[] = [
  SERVE,
  CONFIG,
  HEALTHCHECK,
  REBUILD_INDEX,
  STATUS,
  LS,
  DU,
  PULL,
  PURGE,
  PIN,
  UNPIN,
  PINS,
  EVICT,
  SCRUB,
  CHECK,
  JOBS,
  OFFLINE,
  DOCTOR,
  CLIENT_CONFIG,
  COMPLETION,
];
