/**
 * A server's processes: started in a group of their own, waited for until they answer, ended with all their children,
 * at the latest when the benchmark itself ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { get as getTls } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { processTree } from './process-usage.ts';
import type { Running } from './scenario.ts';

/** For a machine that does much else at once. */
const START_PATIENCE_MS = 60_000;
const STOP_PATIENCE_MS = 10_000;
const POLL_MS = 10;

const groups = new Set<number>();

export interface ServerOptions {
  readonly command: readonly string[];
  /** Where it runs and, as `<program>.log`, what it prints goes. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly url: string;
  /** What answers 200 when it is ready; `/v2/` unless given. */
  readonly readyPath?: string;
}

/** Resolves when it answers. */
export async function startServer(options: ServerOptions): Promise<Running> {
  const [program = '', ...args] = options.command;
  const logFile = join(options.directory, `${basename(program)}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(program, args, {
    cwd: options.directory,
    env: { PATH: process.env['PATH'], ...options.env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const { pid } = child;
  // Emitted where the program can't be run; without a pid it is the only sign.
  if (pid === undefined) {
    const [cause] = (await once(child, 'error')) as [Error];
    throw new Error(`${program} can not be run`, { cause });
  }
  groups.add(pid);
  const end = () => stop(child, pid);
  try {
    await untilReady(child, `${options.url}${options.readyPath ?? '/v2/'}`);
  } catch (cause) {
    await end();
    const output = await readFile(logFile, 'utf8');
    throw new Error(`${program} does not answer; its last words:\n${output.slice(-2000)}`, { cause });
  }
  return { url: options.url, pids: () => processTree(pid), [Symbol.asyncDispose]: end };
}

/** A port of the loopback that nobody listens on now. For programs that can't be asked which one they got. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** At once and without grace, for the end of the process. */
export function killServers(): void {
  for (const pid of groups) killGroup(pid, 'SIGKILL');
  groups.clear();
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  const deadline = performance.now() + START_PATIENCE_MS;
  while ((await statusOf(url)) !== 200) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`it ended with ${String(child.exitCode ?? child.signalCode)}`);
    }
    if (performance.now() > deadline) throw new Error(`it did not answer for ${START_PATIENCE_MS} ms`);
    await setTimeout(POLL_MS);
  }
}

function statusOf(url: string): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const request = url.startsWith('https:')
    ? getTls(url, { rejectUnauthorized: false, agent: false })
    : get(url, { agent: false });
  request.on('response', (response) => {
    response.resume();
    resolve(response.statusCode);
  });
  request.on('error', () => resolve(undefined));
  return promise;
}

async function stop(child: ChildProcess, pid: number): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await Promise.race([exited, setTimeout(STOP_PATIENCE_MS, undefined, { ref: false })]);
  }
  // The group outlives its leader where a child does.
  killGroup(pid, 'SIGKILL');
  groups.delete(pid);
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

// Before the directories go that they write to.
process.prependListener('exit', killServers);
