/**
 * The load client: client.c, compiled when it is first needed, and run with a plan.
 *
 *     client [-t] [-c] [-d SECONDS] [-l SECONDS] ADDRESS PORT <PLAN
 *
 * - `-t` speaks TLS 1.3 with one cipher for all servers (TLS_AES_128_GCM_SHA256) and trusts every certificate.
 * - `-c` copies bodies out of the kernel, which without TLS are dropped there (`MSG_TRUNC`), as if they had gone
 *   to another machine.
 * - `-d` gives up after so long (600 s); what is not done by then is an error.
 * - `-l` begins the plan anew until so long has passed.
 *
 * A line of the plan is a puller: `CONNECTIONS RATE METHOD PATH [METHOD PATH | METHOD PATH ...]`. Its requests go over
 * so many connections, which are kept alive; those after a bar begin when all those before it are answered. RATE is in
 * bytes a second for each connection, 0 for as fast as it goes. An error is every answer other than 200, without a
 * Content-Length, or of another length than that, and a connection that breaks.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { program } from '../support/programs.ts';
import { freshDirectory } from '../support/workspace.ts';

/** A path is a GET of it; `HEAD /path` a HEAD. */
export type Request = string;

export interface Puller {
  /** 1 unless given. */
  readonly connections?: number;
  /** Of each connection; unless given as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** A stage begins when the one before it is complete. */
  readonly stages: readonly (readonly Request[])[];
}

export interface Pull {
  readonly url: string;
  readonly pullers: readonly Puller[];
  readonly timeoutSeconds?: number;
  /** Begin anew until so long has passed. */
  readonly loopSeconds?: number;
  /** Copies bodies out of the kernel. */
  readonly isCopying?: boolean;
}

export interface PullResult {
  readonly wallSeconds: number;
  /** Of the client itself. */
  readonly cpuSeconds: number;
  readonly bytes: number;
  /** Answered or failed. */
  readonly requests: number;
  readonly errors: number;
  readonly firstError?: string;
  /** Over all requests, from when it was sent, or its connection begun, to the first byte of the body. */
  readonly firstByteMs?: { readonly min: number; readonly median: number; readonly max: number };
  /** Likewise, to the last byte. */
  readonly latencyMs?: { readonly p50: number; readonly p99: number; readonly max: number };
  /** In the order given; the times are from the beginning of all. */
  readonly pullers: readonly {
    readonly bytes: number;
    readonly errors: number;
    readonly finishSeconds?: number;
    readonly firstByteMs?: number;
  }[];
}

/** So many clients that read the same, each over one connection. */
export function readers(count: number, ...requests: readonly Request[]): readonly Puller[] {
  return Array.from({ length: count }, () => ({ stages: [requests] }));
}

/** So many connections that go round in a share of those requests each, as often as they can. */
export function hammers(connections: number, requests: readonly Request[]): readonly Puller[] {
  return Array.from({ length: connections }, (_, index) => {
    const own = requests.filter((_request, place) => place % connections === index);
    return { stages: [own.length > 0 ? own : requests.slice(index % requests.length).slice(0, 1)] };
  });
}

/** Resolves when all is pulled or has failed, errors included in the result. */
export async function pull(options: Pull): Promise<PullResult> {
  const { protocol, hostname, port } = new URL(options.url);
  const flags = [
    ...(protocol === 'https:' ? ['-t'] : []),
    ...(options.isCopying ? ['-c'] : []),
    ...(options.timeoutSeconds === undefined ? [] : ['-d', String(options.timeoutSeconds)]),
    ...(options.loopSeconds === undefined ? [] : ['-l', String(options.loopSeconds)]),
  ];
  const client = spawn(await clientProgram(), [...flags, hostname, port], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  client.stdin.end(options.pullers.map(planLine).join(''));
  const [output] = await Promise.all([text(client.stdout), once(client, 'close')]);
  if (client.exitCode !== 0) {
    throw new Error(`the load client ended with ${String(client.exitCode ?? client.signalCode)}`);
  }
  return JSON.parse(output) as PullResult;
}

/** Of the plan that client.c reads. */
export function planLine({ connections = 1, bytesPerSecond = 0, stages }: Puller): string {
  const words = stages.map((requests) =>
    requests.map((request) => (request.startsWith('/') ? `GET ${request}` : request)).join(' '),
  );
  return `${connections} ${bytesPerSecond} ${words.join(' | ')}\n`;
}

let compiled: Promise<string> | undefined;

function clientProgram(): Promise<string> {
  compiled ??= compile(join(import.meta.dirname, 'client.c'), ['-lssl', '-lcrypto']);
  return compiled;
}

/** @returns the path of the program made of that one file */
export async function compile(source: string, libraries: readonly string[] = []): Promise<string> {
  const path = join(await freshDirectory('program'), 'program');
  await promisify(execFile)(program('cc'), ['-O2', '-Wall', '-Wextra', '-o', path, source, ...libraries]);
  return path;
}
