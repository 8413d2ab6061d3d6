/** `serve`: the mirror as a process, from its log and its signals to the code that it ends with. */
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { startApp } from './app.ts';
import { banner } from './banner.ts';
import { ConfigError, type Config } from './config/config.ts';
import { describeConfig } from './config/describe-config.ts';
import { collectWhenQuiet } from './lib/collect-when-quiet.ts';
import type { Tracer } from './lib/trace.ts';
import { createLogger } from './telemetry/logger.ts';
import { openTracer } from './telemetry/tracing.ts';
import { WorkersError } from './workers/workers.ts';

const FAILURE = 1;
/** For the last traces to go out: a collector that is away holds up no end. */
const TRACES_MS = 2000;

/** Resolves to the exit code when it has stopped. */
export async function serve(config: Config, version: string): Promise<number> {
  const isPretty = process.stdout.isTTY;
  const log = createLogger({ level: config.log.level, isPretty });
  // Whoever watches a terminal reads it between the lines of the log; JSON on standard output stays JSON.
  const screen = isPretty ? process.stdout : process.stderr;
  // Nothing catches these: the state of the process is unknown, and a restart is safe at any moment.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (err: unknown) => {
      log.fatal({ err }, event);
      process.exit(FAILURE);
    });
  }
  const asked = askedToStop();
  const tracer = await tracerOf(version, log);
  const app = await startApp(config, version, log, { tracer });
  screen.write(`${banner(config, version, app)}\n`);
  const listening = { version, registry: app.registryUrl, admin: app.adminUrl };
  log.info({ ...listening, config: describeConfig(config) }, 'listening');
  collectWhenQuiet();

  const end = await Promise.race([asked, app.broken]);
  if (end instanceof WorkersError) log.fatal({ err: end }, 'ending, for nobody is left to answer clients');
  else if (end instanceof Error)
    log.fatal({ err: end }, 'the index is corrupt: ending, for the next start makes it anew');
  else log.info({ signal: end }, 'stopping: what runs may finish');
  const code = end instanceof Error ? FAILURE : 0;
  await app.close();
  if (tracer) await Promise.race([tracer.close(), setTimeout(TRACES_MS, undefined, { ref: false })]);
  log.info('stopped');
  // Should anything still hold the process, it ends all the same.
  globalThis.setTimeout(() => process.exit(code), 1000).unref();
  return code;
}

/** @throws ConfigError where OpenTelemetry's variables ask for what there is not */
async function tracerOf(version: string, log: Logger): Promise<Tracer | undefined> {
  const onError = (err: Error) => log.warn({ err }, 'traces can not be handed on');
  try {
    return await openTracer(process.env, { version, onError });
  } catch (cause) {
    throw new ConfigError([(cause as Error).message], { cause });
  }
}

/** Resolves at the first signal. It listens from the start on: as process 1 of a container, one without ears would live on. */
function askedToStop(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let isAsked = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      // Whoever asks twice does not want to wait.
      if (isAsked) process.exit(FAILURE);
      isAsked = true;
      resolve(name);
    });
  }
  return promise;
}
