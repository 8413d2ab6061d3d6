/** How a command can end: the exit codes, and the errors that stand for them. */
import { ConfigError } from '../config/config.ts';

export const EXIT = {
  success: 0,
  failure: 1,
  usage: 2,
  unreachable: 3,
  wrong: 4,
  config: 78,
  interrupted: 130,
} as const;

/** For help. */
export const EXIT_CODES: readonly (readonly [number, string])[] = [
  [EXIT.success, 'success'],
  [EXIT.failure, 'failure: the mirror refused, or a job failed'],
  [EXIT.usage, 'wrong usage'],
  [EXIT.unreachable, 'the mirror can not be reached'],
  [EXIT.wrong, 'doctor found something that is wrong'],
  [EXIT.config, 'a mistake in the configuration'],
  [EXIT.interrupted, 'interrupted by Ctrl-C'],
];

/** `help` is the command whose help says more. */
export class UsageError extends Error {
  readonly command: string | undefined;

  constructor(message: string, command?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UsageError';
    this.command = command;
  }
}

/** The API said no. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'RefusedError';
    this.status = status;
  }
}

/** There is no mirror, or no answer that one would give. */
export class UnreachableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UnreachableError';
  }
}

/** By Ctrl-C. */
export class InterruptedError extends Error {
  constructor(options?: ErrorOptions) {
    super('interrupted', options);
    this.name = 'InterruptedError';
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof ConfigError) return EXIT.config;
  if (error instanceof UnreachableError) return EXIT.unreachable;
  if (error instanceof InterruptedError) return EXIT.interrupted;
  return EXIT.failure;
}

/** What went wrong below, for `fetch` says no more than that it failed. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { cause } = error;
  if (cause instanceof AggregateError) return cause.errors.map(reasonOf).join(', ');
  return cause instanceof Error ? reasonOf(cause) : error.message;
}
