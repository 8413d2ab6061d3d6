/** The mirror as a process that can be killed and started again on the same data, and what Linux knows about it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { FOR_ALL } from '../../support/for-all.ts';
import type { Findings } from './findings.ts';
import { LogWatch } from './log-watch.ts';
import type { Plan } from './plan.ts';
import { Spans } from './spans.ts';
import type { Tally } from './tally.ts';

const MAIN = join(import.meta.dirname, '../../../src/main.ts');
const LISTENING = /^\{.*"registry":"([^"]+)","admin":"([^"]+)".*"msg":"listening"\}$/m;
/** For a machine that does much else at once. */
const START_MS = 60_000;
const STOP_MS = 60_000;

interface Addresses {
  readonly registry: string;
  readonly admin: string;
}

export class MirrorProcess implements AsyncDisposable {
  readonly dataDir: string;
  readonly log: LogWatch;
  /** While it may refuse or break off whatever is asked: from a signal on until it listens again. */
  readonly absence = new Spans();
  readonly #env: NodeJS.ProcessEnv;
  readonly #findings: Findings;
  readonly #killAtExit = () => this.#child?.kill('SIGKILL');
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #up = Promise.withResolvers<Addresses>();
  #isEnded = false;

  constructor(plan: Plan, upstreamUrl: string, dataDir: string, findings: Findings, tally: Tally) {
    this.dataDir = dataDir;
    this.#findings = findings;
    this.log = new LogWatch(findings, tally);
    this.#env = {
      PATH: process.env['PATH'],
      ENTREPOT_UPSTREAM_URL: upstreamUrl,
      ENTREPOT_DATA_DIR: dataDir,
      ...FOR_ALL,
      ...plan.mirrorEnv,
    };
    this.absence.begin();
    process.on('exit', this.#killAtExit);
  }

  /** Waits until it is there; undefined when it never will be again. */
  async addresses(): Promise<Addresses | undefined> {
    return this.#isEnded ? undefined : this.#up.promise;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const child = this.#spawn();
    let output = '';
    const { promise: listening, resolve } = Promise.withResolvers<RegExpExecArray>();
    const look = (text: string) => {
      output += text;
      const match = LISTENING.exec(output);
      if (!match) return;
      child.stdout?.off('data', look);
      resolve(match);
    };
    child.stdout?.on('data', look);
    const died = this.#exited.then(() => 'died' as const);
    const found = await within(START_MS, Promise.race([listening, died]));
    if (found === 'late' || found === 'died') {
      this.#findings.add(
        found === 'died' ? 'the mirror does not start' : 'the mirror takes too long to start',
      );
      await this.kill();
      return;
    }
    this.absence.end();
    this.#up.resolve({ registry: found[1] ?? '', admin: found[2] ?? '' });
  }

  /** Starts it and kills it so much later, wherever it is then. */
  async startInVain(ms: number): Promise<void> {
    this.#spawn();
    await within(ms, this.#exited);
    await this.kill();
  }

  /** SIGKILL, at any moment; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#goes();
    this.#child?.kill('SIGKILL');
    await this.#exited;
    this.#child = undefined;
  }

  /** SIGTERM, after which it has to end by itself, and well. */
  async terminate(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    this.#goes();
    child.kill('SIGTERM');
    if ((await within(STOP_MS, this.#exited)) === 'late') {
      this.#findings.add('the mirror does not end', `not within ${STOP_MS} ms of SIGTERM`);
      await this.kill();
      return;
    }
    const { exitCode, signalCode } = child;
    if (exitCode !== 0) this.#findings.add('the mirror does not end well', { exitCode, signalCode });
    this.#child = undefined;
  }

  /** What it has open, by kind: a file of the data directory by its folder there. Empty where there is no /proc. */
  async openFiles(): Promise<Readonly<Record<string, number>>> {
    const directory = `/proc/${this.#child?.pid ?? 0}/fd`;
    if (!existsSync(directory)) return {};
    const counts: Record<string, number> = {};
    for (const name of await readdir(directory)) {
      const target = await readlink(join(directory, name)).catch(() => undefined);
      if (target === undefined) continue;
      const kind = target.startsWith(`${this.dataDir}/`)
        ? (target.slice(this.dataDir.length + 1).split('/')[0] ?? '')
        : target.replace(/:?\[\w+\]$/, '');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.#child?.pid ?? 0}/status`, 'utf8').catch(() => '');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#up.promise.catch(() => undefined);
    this.#up.reject(new Error('the mirror has ended for good'));
    await this.kill();
    process.off('exit', this.#killAtExit);
  }

  #spawn(): ChildProcess {
    const child = spawn(process.execPath, [MAIN, 'serve'], {
      cwd: this.dataDir,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.log.begin();
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.log.output(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.log.errorOutput(text));
    this.#child = child;
    // `close` comes when all output is in.
    this.#exited = once(child, 'close').then(() => {
      if (this.#child !== child || this.#isEnded) return;
      const { exitCode, signalCode } = child;
      if (!this.absence.isOn) this.#findings.add('the mirror ended by itself', { exitCode, signalCode });
    });
    return child;
  }

  #goes(): void {
    if (this.absence.isOn) return;
    this.absence.begin();
    this.#up = Promise.withResolvers();
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | 'late'> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => resolve('late'), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
