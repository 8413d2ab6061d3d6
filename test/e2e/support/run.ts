/** Runs one program to its end and hands back what it printed; a failure tells what it said. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { PROGRAM_PATH } from './programs.ts';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Aborted, the program is told to end, as by Ctrl-C. */
  readonly interrupt?: AbortSignal;
}

export class RunFailed extends Error {
  /** What the program wrote to both its outputs. */
  readonly output: string;

  constructor(argv: readonly string[], how: string, output: string) {
    super(`${argv.join(' ')}: ${how}\n${output.slice(-4000)}`);
    this.name = 'RunFailed';
    this.output = output;
  }
}

/** Nobody's own settings (registry logins, proxies) may decide how a program under test behaves. */
export function programEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: PROGRAM_PATH, LC_ALL: 'C.UTF-8', HOME: '/nonexistent', ...extra };
}

/** What the program wrote to its standard output. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const [program, ...args] = argv;
  const child = spawn(program!, args, {
    env: programEnvironment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  });
  options.interrupt?.addEventListener('abort', () => child.kill('SIGINT'), { once: true });
  const ended = new Promise<string | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${String(code)}`}`);
    });
  });
  const [stdout, stderr, failure] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (failure !== undefined) throw new RunFailed(argv, failure, stdout + stderr);
  return stdout;
}

/** What the program said while it failed; throws when it did not fail. */
export async function runToFailure(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const stdout = await run(argv, options).catch((error: unknown) => {
    if (error instanceof RunFailed) return error;
    throw error;
  });
  if (stdout instanceof RunFailed) return stdout.output;
  throw new Error(`${argv.join(' ')} was to fail, but did not:\n${stdout}`);
}
