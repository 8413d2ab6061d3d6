/** The mirror of a soak: the build, with little room and short patience, so that within minutes it does all that it ever does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { freePort } from '../support/server.ts';
import type { Vitals } from './probe.ts';

const DIST = process.env['BENCH_DIST'] ?? join(import.meta.dirname, '../../dist');
const START_PATIENCE_MS = 60_000;
const POLL_MS = 50;
const SIZES_EVERY = 5;

const SETTINGS = {
  ENTREPOT_CACHE_MAX_SIZE: '96MiB',
  ENTREPOT_CACHE_MEMORY: '16MiB',
  ENTREPOT_TAG_TTL: '1s',
  ENTREPOT_MISS_TTL: '1s',
  ENTREPOT_DOWNLOADS_KEEP_PARTIAL: '5s',
  ENTREPOT_SCRUB_INTERVAL: '1m',
  ENTREPOT_CLIENTS_TIMEOUT: '10s',
  ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: '1s',
  ENTREPOT_UPSTREAM_BODY_TIMEOUT: '1s',
};

interface Sizes {
  readonly indexBytes: number;
  readonly diskBytes: number;
}

/** One look at it. */
export interface Sample extends Vitals, Sizes {
  readonly seconds: number;
  readonly requests: number;
  readonly rssBytes: number;
  readonly anonymousBytes: number;
  readonly openFiles: number;
}

/** What the Dockerfile says of memory. */
const AS_IN_THE_IMAGE = {
  MALLOC_MMAP_THRESHOLD_: '131072',
  NODE_OPTIONS: '--max-semi-space-size=4',
};

export class SoakMirror implements AsyncDisposable {
  readonly url: string;
  /** Resolves when it is gone, to how it ended. */
  readonly ended: Promise<string>;
  readonly #child: ReturnType<typeof spawn>;
  readonly #dataDir: string;
  #vitals: Vitals = { heapUsed: 0, heapTotal: 0, external: 0, arrayBuffers: 0, resources: 0 };
  #sizes: Sizes = { indexBytes: 0, diskBytes: 0 };
  #looks = 0;

  private constructor(child: ReturnType<typeof spawn>, url: string, dataDir: string) {
    this.#child = child;
    this.url = url;
    this.#dataDir = dataDir;
    this.ended = once(child, 'exit').then(([code, signal]) => String(signal ?? code));
    const [, , , pipe] = child.stdio;
    createInterface({ input: pipe as NodeJS.ReadableStream }).on('line', (line) => {
      this.#vitals = JSON.parse(line) as Vitals;
    });
  }

  static async start(upstreamUrl: string, directory: string): Promise<SoakMirror> {
    const port = await freePort();
    const dataDir = join(directory, 'data');
    const probe = join(import.meta.dirname, 'probe.ts');
    const child = spawn(process.execPath, ['--import', probe, join(DIST, 'main.js'), 'serve'], {
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        ...AS_IN_THE_IMAGE,
        ENTREPOT_LISTEN: `127.0.0.1:${port}`,
        ENTREPOT_ADMIN_LISTEN: `127.0.0.1:${await freePort()}`,
        ENTREPOT_DATA_DIR: dataDir,
        ENTREPOT_UPSTREAM_URL: upstreamUrl,
        ...SETTINGS,
      },
      // Its log is written as ever, a line for each request, and kept by nobody: it would be gigabytes.
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const kill = () => child.kill('SIGKILL');
    process.on('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    const mirror = new SoakMirror(child, `http://127.0.0.1:${port}`, dataDir);
    await mirror.#untilReady();
    return mirror;
  }

  async sample(seconds: number, requests: number): Promise<Sample> {
    const pid = this.#child.pid ?? 0;
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
    // There are thousands of files.
    if (this.#looks++ % SIZES_EVERY === 0) this.#sizes = await sizesBelow(this.#dataDir);
    return {
      ...{ seconds, requests, ...this.#vitals, ...this.#sizes },
      rssBytes: kilobytes('VmRSS') * 1024,
      anonymousBytes: kilobytes('RssAnon') * 1024,
      openFiles: readdirSync(`/proc/${pid}/fd`).length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM');
    await Promise.race([this.ended, setTimeout(START_PATIENCE_MS, undefined, { ref: false })]);
    this.#child.kill('SIGKILL');
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + START_PATIENCE_MS;
    const isReady = () =>
      fetch(`${this.url}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await isReady())) {
      const hasEnded = this.#child.exitCode !== null;
      if (hasEnded || performance.now() > deadline) throw new Error('the mirror does not start');
      await setTimeout(POLL_MS);
    }
  }
}

/** Of blobs, of what is on its way in, and of the index; not of its records, of which there are many small ones. */
async function sizesBelow(dataDir: string): Promise<Sizes> {
  const all = await Promise.all(['blobs', 'spool'].map((name) => bytesBelow(join(dataDir, name))));
  const names = ['index.sqlite', 'index.sqlite-wal'];
  const index = await Promise.all(names.map((name) => bytesBelow(join(dataDir, name))));
  const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);
  return { indexBytes: sum(index), diskBytes: sum(all) + sum(index) };
}

/** What goes meanwhile does not count. */
async function bytesBelow(path: string): Promise<number> {
  try {
    const stats = await stat(path);
    if (!stats.isDirectory()) return stats.size;
    const sizes = await Promise.all((await readdir(path)).map((name) => bytesBelow(join(path, name))));
    return sizes.reduce((total, size) => total + size, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
