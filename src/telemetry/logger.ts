/** The log: JSON lines, or lines for people where a person watches. The only place that imports pino to run it. */
import { pino, type DestinationStream, type Logger, stdSerializers } from 'pino';
import pretty from 'pino-pretty';

export interface LoggerOptions {
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly isPretty: boolean;
  /** Standard output without it. */
  readonly destination?: DestinationStream;
}

export function createLogger({ level, isPretty, destination }: LoggerOptions): Logger {
  const target = isPretty
    ? pretty({
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
    serializers: { err: stdSerializers.errWithCause },
    // Nothing logs these; if something ever does, it shows nothing.
    redact: {
      paths: ['*.authorization', '*.password', '*.token', 'authorization', 'password', 'token'],
      censor: '***',
    },
  };
  return target ? pino(options, target) : pino(options);
}
