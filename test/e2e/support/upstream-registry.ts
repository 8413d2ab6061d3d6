/** The real upstream: Debian's docker-registry (Distribution), and what its access log says it was asked. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Daemon } from './daemon.ts';
import { inNetwork } from './machine.ts';
import { answers, type NetworkHost } from './network.ts';
import { run } from './run.ts';
import { until } from './until.ts';
import type { Workspace } from './workspace.ts';

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

export interface UpstreamOptions {
  readonly storageDir: string;
  readonly port: number;
  readonly isReadOnly: boolean;
  /** The loopback address of the tests' own network without it. */
  readonly host?: NetworkHost | undefined;
}

/** How often each blob was downloaded, by digest. */
export function blobDownloads(requests: readonly UpstreamRequest[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { method, path } of requests) {
    const digest = /\/blobs\/(sha256:[a-f0-9]{64})$/.exec(path)?.[1];
    if (method === 'GET' && digest !== undefined) counts[digest] = (counts[digest] ?? 0) + 1;
  }
  return counts;
}

/** Requests of the tests themselves carry this, and are not counted. */
const FENCE = '/v2/?fence=';
const LINE = /^\S+ - - \[[^\]]*\] "(?<method>[A-Z]+) (?<path>\S+) [^"]*" (?<status>\d+) /;

export class UpstreamRegistry {
  readonly url: string;
  readonly #workspace: Workspace;
  readonly #options: UpstreamOptions;
  readonly #accessLog: string;
  #daemon: Daemon | undefined;
  #fences = 0;

  private constructor(workspace: Workspace, options: UpstreamOptions) {
    this.url = `http://127.0.0.1:${options.port}`;
    this.#workspace = workspace;
    this.#options = options;
    this.#accessLog = workspace.path('upstream-access.log');
  }

  static async start(workspace: Workspace, options: UpstreamOptions): Promise<UpstreamRegistry> {
    const upstream = new UpstreamRegistry(workspace, options);
    await upstream.start();
    return upstream;
  }

  async start(): Promise<void> {
    const config = this.#workspace.path('upstream.yml');
    await writeFile(config, this.#config());
    this.#daemon = await this.#workspace.start({
      name: 'upstream',
      argv: ['docker-registry', 'serve', config],
      outputFile: this.#accessLog,
      machine: { hostname: 'upstream', network: this.#options.host?.network },
      isReady: () => answers(this.#options.host?.network, `${this.url}${FENCE}ready`),
    });
  }

  /** Its connections are gone, and new ones are refused. */
  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** Runs again afterwards, whatever comes of it. */
  async whileStopped(act: () => Promise<void>): Promise<void> {
    await this.stop();
    try {
      await act();
    } finally {
      await this.start();
    }
  }

  async pause(): Promise<void> {
    await this.#daemon?.pause();
  }

  async resume(): Promise<void> {
    await this.#daemon?.resume();
  }

  /** All it was asked so far, or since there were that many. */
  async requests(since = 0): Promise<readonly UpstreamRequest[]> {
    if (this.#daemon?.hasEnded === false) await this.#fence();
    return (await this.logged()).slice(since);
  }

  /** As requests(), but without waiting for lines that are still to be written: for a paused upstream too. */
  async logged(): Promise<readonly UpstreamRequest[]> {
    const log = await readFile(this.#accessLog, 'utf8');
    return log.split('\n').flatMap((line) => {
      const groups = LINE.exec(line)?.groups;
      if (groups === undefined || groups['path']!.startsWith(FENCE)) return [];
      const { method, path, status } = groups;
      return [{ method: method!, path: path!, status: Number(status) }];
    });
  }

  /** A line is written after its answer was sent: once our own later request is logged, so are those before it. */
  async #fence(): Promise<void> {
    this.#fences += 1;
    const path = `${FENCE}${this.#fences}-${process.pid}`;
    await run(inNetwork(this.#options.host?.network, ['curl', '-fsS', `${this.url}${path}`]));
    await until('the access log of the upstream is written', async () =>
      (await readFile(this.#accessLog, 'utf8')).includes(`${path} `),
    );
  }

  #config(): string {
    const { storageDir, port, isReadOnly } = this.#options;
    return JSON.stringify({
      version: '0.1',
      log: { level: 'warn', accesslog: { disabled: false } },
      storage: {
        filesystem: { rootdirectory: storageDir },
        maintenance: { readonly: { enabled: isReadOnly } },
      },
      http: { addr: `127.0.0.1:${port}` },
    });
  }
}
