#!/usr/bin/env node
/** The process: arguments, configuration, signals, exit code. The only place that ends it. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startApp } from './app.ts';
import { banner } from './banner.ts';
import { checkHealth, rebuildIndex } from './commands.ts';
import { ConfigError, type Config } from './config/config.ts';
import { formatConfig } from './config/describe-config.ts';
import { loadConfig } from './config/load-config.ts';
import { collectWhenQuiet } from './lib/collect-when-quiet.ts';
import { createLogger } from './telemetry/logger.ts';
import { WorkersError } from './workers/workers.ts';

const HELP = `Usage: entrepot [command] [options]

A pull-through caching container registry mirror.

Commands:
  serve           run the mirror (the default)
  config          print the configuration in effect, secrets masked
  healthcheck     ask the running mirror whether it is ready
  rebuild-index   make the index anew from what lies on disk

Options:
  -c, --config FILE   the configuration file, instead of the one that ENTREPOT_CONFIG names
  -h, --help          print this
  -v, --version       print the version

Every setting has an environment variable: docs/configuration.md.

Exit codes: 0 success, 1 failure, 2 wrong usage, 78 a mistake in the configuration.
`;

const EXIT = { success: 0, failure: 1, usage: 2, config: 78 } as const;

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function serve(config: Config): Promise<number> {
  const isPretty = process.stdout.isTTY;
  const log = createLogger({ level: config.log.level, isPretty });
  const version = readVersion();
  // Whoever watches a terminal reads it between the lines of the log; JSON on standard output stays JSON.
  const screen = isPretty ? process.stdout : process.stderr;
  // Nothing catches these: the state of the process is unknown, and a restart is safe at any moment.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (err: unknown) => {
      log.fatal({ err }, event);
      process.exit(EXIT.failure);
    });
  }
  const asked = askedToStop();
  const app = await startApp(config, version, log);
  screen.write(`${banner(config, version, app)}\n`);
  log.info({ version, registry: app.registryUrl, admin: app.adminUrl, dataDir: config.dataDir }, 'listening');
  collectWhenQuiet();

  const end = await Promise.race([asked, app.broken]);
  if (end instanceof WorkersError) log.fatal({ err: end }, 'ending, for nobody is left to answer clients');
  else if (end instanceof Error)
    log.fatal({ err: end }, 'the index is corrupt: ending, for the next start makes it anew');
  else log.info({ signal: end }, 'stopping: what runs may finish');
  const code = end instanceof Error ? EXIT.failure : EXIT.success;
  await app.close();
  log.info('stopped');
  // Should anything still hold the process, it ends all the same.
  setTimeout(() => process.exit(code), 1000).unref();
  return code;
}

/** Resolves at the first signal. It listens from the start on: as process 1 of a container, one without ears would live on. */
function askedToStop(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let isAsked = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      // Whoever asks twice does not want to wait.
      if (isAsked) process.exit(EXIT.failure);
      isAsked = true;
      resolve(name);
    });
  }
  return promise;
}

async function run(): Promise<number> {
  const say = (text: string) => void process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: 'string', short: 'c' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
    },
  });
  const [command = values.help ? 'help' : values.version ? 'version' : 'serve', ...rest] = positionals;
  if (values.help || command === 'help') {
    say(HELP);
    return EXIT.success;
  }
  if (values.version || command === 'version') {
    say(readVersion());
    return EXIT.success;
  }
  if (rest.length > 0) throw new UsageError(`too many arguments: ${rest.join(' ')}`);
  const load = () =>
    loadConfig({ env: process.env, readFile: (path) => readFileSync(path, 'utf8'), file: values.config });
  switch (command) {
    case 'serve':
      return serve(load());
    case 'config':
      say(formatConfig(load()));
      return EXIT.success;
    case 'healthcheck':
      return checkHealth(load(), say);
    case 'rebuild-index': {
      const config = load();
      return rebuildIndex(config, createLogger({ level: config.log.level, isPretty: process.stdout.isTTY }));
    }
    default:
      throw new UsageError(`there is no command ${command}`);
  }
}

class UsageError extends Error {}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.config;
  const isUsage =
    error instanceof UsageError || String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
  return isUsage ? EXIT.usage : EXIT.failure;
}

try {
  process.exitCode = await run();
} catch (error) {
  const { message } = error as Error;
  process.exitCode = exitCodeOf(error);
  const hint = process.exitCode === EXIT.usage ? '\nTry: entrepot --help' : '';
  process.stderr.write(`entrepot: ${message}${hint}\n`);
}
