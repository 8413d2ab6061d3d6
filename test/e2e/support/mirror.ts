/** The mirror under test, as its own process with its own data. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FOR_ALL } from '../../support/for-all.ts';
import type { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';
import { answers, type NetworkHost } from './network.ts';
import type { Workspace } from './workspace.ts';

const MAIN = join(import.meta.dirname, '../../../src/main.ts');

export interface MirrorOptions {
  readonly upstreamUrl: string;
  /** The loopback address of the tests' own network without it. */
  readonly host?: NetworkHost;
  /** Longer than any test without it: a tag is asked for again only where a test wants that. */
  readonly tagTtl?: string;
  /** A folder of the workspace without it. */
  readonly dataDir?: string;
  /** Environment variables of its own. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What the tests read of the line that the mirror logs for each request. */
export interface MirrorRequest {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly source?: string;
  readonly aborted?: true;
  readonly namespace?: string;
  readonly userAgent?: string;
}

interface EndedDownload {
  readonly outcome: string;
  readonly digest: string;
}

export class Mirror {
  /** `host:port`, as in the name of an image that is to come from there. */
  readonly address: string;
  readonly url: string;
  readonly dataDir: string;
  readonly #workspace: Workspace;
  readonly #options: MirrorOptions;
  readonly #adminPort: number;
  #daemon: Daemon | undefined;

  private constructor(workspace: Workspace, options: MirrorOptions, address: string, adminPort: number) {
    this.address = address;
    this.url = `http://${address}`;
    this.dataDir = options.dataDir ?? workspace.path(`mirror-${address}`);
    this.#workspace = workspace;
    this.#options = options;
    this.#adminPort = adminPort;
  }

  /** With nothing in its cache. */
  static async start(workspace: Workspace, options: MirrorOptions): Promise<Mirror> {
    const address = `${options.host?.address ?? '127.0.0.1'}:${await freePort()}`;
    const mirror = new Mirror(workspace, options, address, await freePort());
    await mirror.start();
    return mirror;
  }

  /** With the data of the last time. */
  async start(): Promise<void> {
    const network = this.#options.host?.network;
    const admin = `127.0.0.1:${this.#adminPort}`;
    this.#daemon = await this.#workspace.start({
      name: `mirror-${this.address}`,
      argv: [process.execPath, MAIN, 'serve'],
      env: {
        ENTREPOT_LISTEN: this.address,
        ENTREPOT_ADMIN_LISTEN: admin,
        ENTREPOT_DATA_DIR: this.dataDir,
        ENTREPOT_UPSTREAM_URL: this.#options.upstreamUrl,
        ENTREPOT_TAG_TTL: this.#options.tagTtl ?? '1h',
        ENTREPOT_CACHE_MAX_SIZE: '20GiB',
        ENTREPOT_LOG_LEVEL: 'debug',
        ...FOR_ALL,
        ...this.#options.settings,
      },
      machine: { hostname: 'mirror', network },
      isReady: () => answers(network, `http://${admin}/readyz`),
    });
  }

  /** Since its first start, as far as it is logged. */
  async requests(): Promise<readonly MirrorRequest[]> {
    const entries = await this.#logEntries();
    return entries.flatMap((entry) => ('route' in entry ? [entry] : []));
  }

  /** The digests of the blobs that no kill takes from it any more; a client may have the last bytes before. */
  async storedBlobs(): Promise<readonly string[]> {
    const entries = await this.#logEntries();
    return entries.flatMap((entry) =>
      'outcome' in entry && entry.outcome === 'stored' ? [entry.digest] : [],
    );
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** As kill -9. */
  async kill(): Promise<void> {
    await this.#daemon?.kill();
  }

  /** Also of its data. */
  async remove(): Promise<void> {
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async #logEntries(): Promise<readonly (MirrorRequest | EndedDownload | object)[]> {
    const log = (await this.#daemon?.readLog()) ?? '';
    const lines = log.split('\n').filter((line) => line.startsWith('{"level"') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as MirrorRequest | EndedDownload | object);
  }
}
