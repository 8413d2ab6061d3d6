/** A line of a certain speed to an upstream: throttle.c, built with the system's compiler and run. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { compile } from '../load/client.ts';

/** Bytes per second; without one there is no such limit. */
export interface Rate {
  readonly perConnection?: number;
  /** Of all connections together. */
  readonly total?: number;
}

export interface Throttle extends AsyncDisposable {
  readonly url: string;
}

let program: Promise<string> | undefined;

/** Between its URL and the upstream there is that line. */
export async function startThrottle(upstreamUrl: string, rate: Rate): Promise<Throttle> {
  const { port } = new URL(upstreamUrl);
  program ??= compile(join(import.meta.dirname, 'throttle.c'));
  const limits = [rate.perConnection ?? 0, rate.total ?? 0].map(String);
  // It ends with its standard input, so at the latest when we do.
  const child = spawn(await program, [port, ...limits], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const listening = once(createInterface({ input: child.stdout }), 'line');
  const [first] = (await Promise.race([listening, exited])) as [string | number | null];
  if (typeof first !== 'string') throw new Error(`the throttle ended with ${String(first)} as it started`);
  return {
    url: `http://127.0.0.1:${first}`,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}
