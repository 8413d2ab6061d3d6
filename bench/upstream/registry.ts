/**
 * The real upstream: Debian's docker-registry (Distribution) with content of its own, and how much it was asked for, by
 * its access log.
 */
import { open, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { program } from '../support/programs.ts';
import type { Running } from '../support/scenario.ts';
import { freePort, startServer } from '../support/server.ts';

const PROGRAM = 'docker-registry';
const LOG_PATIENCE_MS = 60_000;
const POLL_MS = 5;

/** Requests of the benchmark itself carry this, and are not counted. */
const FENCE = '/v2/?fence=';
const LINE = /^\S+ - - \[[^\]]*\] "(?<method>[A-Z]+) (?<path>\S+) [^"]*" (?<status>\d+) (?<bytes>\d+)/;

/** Answers that the upstream has sent: how many, and the bytes of their bodies. */
export interface Traffic {
  readonly requests: number;
  readonly bytes: number;
}

export class UpstreamRegistry implements Running {
  readonly url: string;
  readonly #running: Running;
  readonly #log: string;
  #read = 0;
  #fences = 0;

  private constructor(running: Running, log: string) {
    this.url = running.url;
    this.#running = running;
    this.#log = log;
  }

  /** @param directory its content stays there, under `content` */
  static async start(directory: string): Promise<UpstreamRegistry> {
    const port = await freePort();
    const config = join(directory, 'upstream.yml');
    await writeFile(config, JSON.stringify(configuration(directory, port)));
    const url = `http://127.0.0.1:${port}`;
    const running = await startServer({ command: [program(PROGRAM), 'serve', config], directory, url });
    const upstream = new UpstreamRegistry(running, join(directory, `${PROGRAM}.log`));
    await upstream.traffic();
    return upstream;
  }

  pids(): readonly number[] {
    return this.#running.pids();
  }

  /** What it was asked for since the last call. A line is logged when its answer is over: ask when nothing is under way. */
  async traffic(): Promise<Traffic> {
    const lines = await this.#untilFence();
    const counted = lines.filter(({ path }) => !path.startsWith(FENCE));
    return { requests: counted.length, bytes: counted.reduce((total, { bytes }) => total + bytes, 0) };
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#running[Symbol.asyncDispose]();
  }

  /** Lines are written in order: once our own later request is logged, so are those that ended before it. */
  async #untilFence(): Promise<readonly Line[]> {
    this.#fences += 1;
    const fence = `${FENCE}${this.#fences}`;
    await ask(`${this.url}${fence}`);
    const lines: Line[] = [];
    const deadline = performance.now() + LOG_PATIENCE_MS;
    for (;;) {
      lines.push(...(await this.#newLines()));
      if (lines.some(({ path }) => path === fence)) return lines;
      if (performance.now() > deadline) throw new Error(`the access log of the upstream has no ${fence}`);
      await setTimeout(POLL_MS);
    }
  }

  async #newLines(): Promise<readonly Line[]> {
    const { size } = await stat(this.#log);
    await using file = await open(this.#log);
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(size - this.#read),
      position: this.#read,
    });
    const text = buffer.subarray(0, bytesRead);
    const end = text.lastIndexOf('\n') + 1;
    this.#read += end;
    return text.toString('utf8', 0, end).split('\n').flatMap(parseLine);
  }
}

interface Line extends Pick<Traffic, 'bytes'> {
  readonly path: string;
}

/** Of the access log in its combined format; anything else that the program says is no line. */
export function parseLine(text: string): Line[] {
  const { path, bytes } = LINE.exec(text)?.groups ?? {};
  return path === undefined ? [] : [{ path, bytes: Number(bytes) }];
}

async function ask(url: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  get(url, { agent: false }, (response) => response.on('end', resolve).on('error', reject).resume()).on(
    'error',
    reject,
  );
  await promise;
}

function configuration(directory: string, port: number) {
  return {
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(directory, 'content') } },
    http: { addr: `127.0.0.1:${port}` },
  };
}
