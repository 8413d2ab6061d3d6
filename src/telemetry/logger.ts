/** The log: JSON lines, or lines for people where a person watches. The only place that imports pino to run it. */
import { createRequire } from 'node:module';
import { pino, symbols, type DestinationStream, type Logger } from 'pino';
import type pinoPretty from 'pino-pretty';
import { readableLine } from './readable.ts';
import { Troubles } from './troubles.ts';

export interface LoggerOptions {
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly isPretty: boolean;
  /** Standard output without it. */
  readonly destination?: DestinationStream;
}

/** Where a log, and each that is made of it, has what went wrong. */
const troublesSym = Symbol('troubles');

export function createLogger({ level, isPretty, destination }: LoggerOptions): Logger {
  const troubles = new Troubles();
  const target = isPretty
    ? prettyStream({
        colorize: true,
        translateTime: 'SYS:HH:MM:ss',
        // All that is worth it is in the message.
        hideObject: true,
        messageFormat: readableLine,
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
    hooks: {
      streamWrite: (line: string) => {
        troubles.note(line);
        return line;
      },
    },
  };
  return Object.assign(target ? pino(options, target) : pino(options), { [troublesSym]: troubles });
}

/** What the log has told of that is wrong, its own lines and those that `linesOf` takes in. */
export function troublesOf(log: Logger): Troubles {
  return (log as unknown as Record<symbol, Troubles | undefined>)[troublesSym] ?? new Troubles();
}

/** Loaded only where it is needed: a service has no use for it. */
const prettyStream = (options: pinoPretty.PrettyOptions): DestinationStream =>
  (createRequire(import.meta.url)('pino-pretty') as typeof pinoPretty)(options);

/** Takes lines that another process has logged, as they are, in among the log's own. */
export function linesOf(log: Logger): (lines: string) => void {
  const { [symbols.streamSym]: stream } = log as unknown as Record<symbol, DestinationStream>;
  const troubles = troublesOf(log);
  return (lines) => {
    troubles.noteAll(lines);
    stream?.write(lines);
  };
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
