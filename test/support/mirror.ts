/** The mirror itself, in this process, on free loopback ports and a directory of its own. */
import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { createLogger } from '../../src/telemetry/logger.ts';
import { startApp, type App, type AppOptions } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { FOR_ALL } from './for-all.ts';
import { tempDir } from './temp-dir.ts';

export interface MirrorOptions extends AppOptions {
  readonly upstreamUrl: string;
  /** Left in place at the end when it is given. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string };

export interface RunningMirror extends AsyncDisposable {
  readonly url: string;
  readonly adminUrl: string;
  readonly dataDir: string;
  readonly app: App;
  /** Every line that was logged, at the level `debug`. */
  readonly log: readonly LogLine[];
  /** The value of a metric, all its labels included as in `name{a="b"}`; 0 where it was never counted. */
  metric(name: string): Promise<number>;
  close(): Promise<void>;
}

/** So that what is tried again and again fails soon. */
function briefly(ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(Math.min(ms, 5), undefined, { signal });
}

export async function startMirror(options: MirrorOptions): Promise<RunningMirror> {
  const own = options.dataDir === undefined ? await tempDir() : undefined;
  const dataDir = options.dataDir ?? own!.path;
  const config = loadConfig({
    env: {
      ENTREPOT_LISTEN: '127.0.0.1:0',
      ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0',
      ENTREPOT_DATA_DIR: dataDir,
      ENTREPOT_UPSTREAM_URL: options.upstreamUrl,
      ENTREPOT_LOG_LEVEL: 'debug',
      ENTREPOT_SHUTDOWN_GRACE: '5s',
      // What upstream does not have may be there for the next request of a test.
      ENTREPOT_MISS_TTL: '0s',
      ...FOR_ALL,
      ...options.env,
    },
    readFile: (path) => readFileSync(path, 'utf8'),
  });
  const log: LogLine[] = [];
  const destination = new PassThrough();
  // Workers' lines come several at once.
  destination.on('data', (lines: Buffer) => {
    for (const line of lines.toString().trimEnd().split('\n')) log.push(JSON.parse(line) as LogLine);
  });
  const app = await startApp(
    config,
    '0.0.0-test',
    createLogger({ level: 'debug', isPretty: false, destination }),
    { pause: briefly, ...options },
  );
  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    await app.close();
    await own?.[Symbol.asyncDispose]();
  };
  return {
    url: app.registryUrl,
    adminUrl: app.adminUrl,
    dataDir,
    app,
    log,
    metric: async (name) => {
      const text = await (await fetch(`${app.adminUrl}/metrics`)).text();
      const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1) ?? 0);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
