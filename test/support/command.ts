/** The command as people run it, in a test: a process of its own, with nothing of our environment. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { FOR_ALL } from './for-all.ts';
import type { LogLine } from './mirror.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
/** For a machine that does much else at once; nothing asserts how long something took. */
const PATIENCE_MS = 30_000;

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A program with its arguments that runs ours, such as `setpriv`. */
  readonly wrapper?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Command implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exit: Promise<Exit>;
  #stdout = '';
  #stderr = '';
  #onOutput: () => void = () => undefined;
  #hasExited = false;

  /** The program with its arguments; for what is not ours but runs ours. */
  constructor([program = '', ...args]: readonly string[], { cwd, env }: CommandOptions) {
    this.#child = spawn(program, args, {
      cwd,
      env: { PATH: process.env['PATH'], ...env },
      stdio: 'pipe',
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#onOutput();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#onOutput();
    });
    // `close` comes when all output is in, `exit` may come before that.
    this.#exit = once(this.#child, 'close').then((exit) => {
      this.#hasExited = true;
      const [code, signal] = exit as [Exit['code'], Exit['signal']];
      return { code, signal };
    });
    this.#exit.catch(() => undefined);
    // A test that takes too long is left where it is, and disposes nothing.
    onTestFinished(() => this[Symbol.asyncDispose]());
  }

  static start(args: readonly string[], options: CommandOptions): Command {
    return new Command(commandLine(args, options.wrapper), options);
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Standard output, of which each line has to be JSON. */
  get log(): readonly LogLine[] {
    const lines = this.#stdout.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Resolves when all output is in. */
  get exited(): Promise<Exit> {
    return this.#bounded(this.#exit, 'the end');
  }

  /** Resolves when what it printed, on either stream, has that. */
  async until(text: string | RegExp): Promise<void> {
    const has = () => [this.#stdout, this.#stderr].some((output) => output.search(text) !== -1);
    const seen = new Promise<void>((resolve, reject) => {
      const look = () => has() && resolve();
      this.#onOutput = look;
      look();
      this.#exit.then(
        () =>
          has() ? resolve() : reject(new Error(`it ended without ${String(text)}${this.#transcript()}`)),
        reject,
      );
    });
    await this.#bounded(seen, String(text));
  }

  /** On its standard input. */
  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hasExited) return;
    this.#child.kill('SIGKILL');
    await this.#exit;
  }

  async #bounded<T>(promise: Promise<T>, what: string): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const expired = () => reject(new Error(`waited in vain for ${what}${this.#transcript()}`));
    const timer = setTimeout(expired, PATIENCE_MS);
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #transcript(): string {
    return `\nstandard output:\n${this.#stdout}\nstandard error:\n${this.#stderr}`;
  }
}

/** For programs that take a command line, as `script` does. */
export function commandLine(args: readonly string[], wrapper: readonly string[] = []): readonly string[] {
  return [...wrapper, process.execPath, MAIN, ...args];
}

/** Resolves when it has ended. */
export async function run(
  args: readonly string[],
  options: CommandOptions,
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  await using command = Command.start(args, options);
  const exit = await command.exited;
  return { ...exit, stdout: command.stdout, stderr: command.stderr };
}

export interface ServeOptions extends CommandOptions {
  readonly upstreamUrl: string;
}

/** What `serve` needs to run beside others: loopback ports of the system's choice. Its data are in `data`. */
export function serveEnv({ upstreamUrl, env }: Pick<ServeOptions, 'upstreamUrl' | 'env'>) {
  return {
    ENTREPOT_LISTEN: '127.0.0.1:0',
    ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0',
    ENTREPOT_UPSTREAM_URL: upstreamUrl,
    ENTREPOT_CACHE_MAX_SIZE: '1GiB',
    ENTREPOT_LOG_LEVEL: 'debug',
    ...FOR_ALL,
    ...env,
  };
}

export interface Serving {
  readonly command: Command;
  readonly url: string;
  readonly adminUrl: string;
}

/** Resolves when it listens. */
export async function serve(options: ServeOptions): Promise<Serving & AsyncDisposable> {
  const command = Command.start(['serve'], { ...options, env: serveEnv(options) });
  try {
    await command.until(/"msg":"listening"\}\n/);
    // The last line of the screen for people.
    await command.until(/^ {2}\}$/m);
  } catch (error) {
    await command[Symbol.asyncDispose]();
    throw error;
  }
  const line = command.log.find(({ msg }) => msg === 'listening');
  return {
    command,
    url: String(line?.['registry']),
    adminUrl: String(line?.['admin']),
    [Symbol.asyncDispose]: () => command[Symbol.asyncDispose](),
  };
}
