/** A real program that runs in the background: its start, its readiness, its log, and its certain end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { onMachine, type Machine } from './machine.ts';
import { programEnvironment } from './run.ts';
import { until } from './until.ts';

const STOP_TIMEOUT_MS = 20_000;

export interface DaemonOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** Where the standard output goes; the log without it. */
  readonly outputFile?: string;
  readonly machine: Machine;
  readonly isReady: () => Promise<boolean>;
}

export class Daemon implements AsyncDisposable {
  readonly name: string;
  readonly #logFile: string;
  readonly #machine: ChildProcess;

  private constructor(name: string, logFile: string, machine: ChildProcess) {
    this.name = name;
    this.#logFile = logFile;
    this.#machine = machine;
  }

  static async start(options: DaemonOptions): Promise<Daemon> {
    const log = await open(options.logFile, 'a');
    const output = await open(options.outputFile ?? options.logFile, 'a');
    const [program, ...args] = onMachine(options.machine, options.argv);
    const machine = spawn(program!, args, {
      env: programEnvironment(options.env),
      stdio: ['ignore', output.fd, log.fd],
    });
    await once(machine, 'spawn');
    await Promise.all([log.close(), output.close()]);
    const daemon = new Daemon(options.name, options.logFile, machine);
    try {
      await until(`${options.name} is ready`, () => daemon.hasEnded || options.isReady());
      if (daemon.hasEnded) throw new Error(`${options.name} ended as it started`);
    } catch (error) {
      await daemon.kill();
      throw new Error(`${options.name} did not start:\n${await daemon.logTail()}`, {
        cause: error,
      });
    }
    return daemon;
  }

  get hasEnded(): boolean {
    return this.#machine.exitCode !== null || this.#machine.signalCode !== null;
  }

  /** As Ctrl-S: the program holds its connections, and says nothing more on them. */
  async pause(): Promise<void> {
    process.kill(await this.#pid(), 'SIGSTOP');
  }

  async resume(): Promise<void> {
    process.kill(await this.#pid(), 'SIGCONT');
  }

  /** Asks it to end, and ends it where it does not. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** As kill -9; all that it had started is gone too when this returns. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  readLog(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  async logTail(lines = 40): Promise<string> {
    const log = await this.readLog();
    const tail = log.trimEnd().split('\n').slice(-lines);
    const { exitCode, signalCode } = this.#machine;
    return [...tail, ...(this.hasEnded ? [`(ended with ${signalCode ?? String(exitCode)})`] : [])].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.#machine, 'exit');
    const deadline = setTimeout(() => this.#machine.kill('SIGKILL'), STOP_TIMEOUT_MS);
    try {
      process.kill(await this.#pid(), signal);
    } catch {
      // It is ending by itself, or had not got as far as starting the program: its machine goes.
      this.#machine.kill('SIGKILL');
    }
    await ended;
    clearTimeout(deadline);
  }

  /** Of the program itself: the `unshare` around it passes no signal on. */
  async #pid(): Promise<number> {
    const machine = String(this.#machine.pid);
    const children = await readFile(`/proc/${machine}/task/${machine}/children`, 'utf8');
    const pid = Number(children.trim());
    if (!Number.isInteger(pid) || pid <= 0) throw new Error(`${this.name} has no process`);
    return pid;
  }
}
