/** The log: JSON lines, or lines for people where a person watches. The only place that imports pino to run it. */
import { createRequire } from 'node:module';
import { pino, symbols, type DestinationStream, type Logger } from 'pino';
import type pinoPretty from 'pino-pretty';

export interface LoggerOptions {
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly isPretty: boolean;
  /** Standard output without it. */
  readonly destination?: DestinationStream;
}

export function createLogger({ level, isPretty, destination }: LoggerOptions): Logger {
  const target = isPretty
    ? prettyStream({
        colorize: true,
        translateTime: 'SYS:HH:MM:ss',
        singleLine: true,
        ...(destination ? { destination } : {}),
      })
    : destination;
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: (error: unknown) => describe(error) },
    // Nothing logs these; if something ever does, it shows nothing.
    redact: {
      paths: ['*.authorization', '*.password', '*.token', 'authorization', 'password', 'token'],
      censor: '***',
    },
  };
  return target ? pino(options, target) : pino(options);
}

/** Loaded only where it is needed: a service has no use for it. */
const prettyStream = (options: pinoPretty.PrettyOptions): DestinationStream =>
  (createRequire(import.meta.url)('pino-pretty') as typeof pinoPretty)(options);

/** Takes lines that another process has logged, as they are, in among the log's own. */
export function linesOf(log: Logger): (lines: string) => void {
  const { [symbols.streamSym]: stream } = log as unknown as Record<symbol, DestinationStream>;
  return (lines) => stream?.write(lines);
}

/** As deep as a chain of causes may go. */
const MAX_DEPTH = 8;

/** Nothing else of an error: libraries hang on theirs what must not be logged, as undici does answers with their tokens. */
function describe(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name: type, message, code, stack, cause } = error as NodeJS.ErrnoException;
  const hasCause = cause !== undefined && depth < MAX_DEPTH;
  return { type, message, code, stack, ...(hasCause ? { cause: describe(cause, depth + 1) } : {}) };
}
