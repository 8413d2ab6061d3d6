/** What clients meet, and how it is made where this process answers them itself. keeper.ts does it with workers. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { blobFiles } from './blobs/disk-blob-store.ts';
import type { Config } from './config/config.ts';
import { accelerated } from './http/accel.ts';
import type { Deliver } from './http/delivery.ts';
import { HotAnswers } from './http/hot-answers.ts';
import { createRegistryApp } from './http/router.ts';
import { ListeningServer } from './http/server.ts';
import type { TlsFiles } from './http/tls-files.ts';
import type { Tracer } from './lib/trace.ts';
import type { Digest } from './oci/digest.ts';
import type { Observers } from './observers.ts';
import type { BlobLeases } from './repository/blob-leases.ts';
import { LingeringLeases } from './repository/lingering-leases.ts';
import type { Repositories } from './repository/repositories.ts';
import type { Snapshot } from './telemetry/metrics-merge.ts';

export interface FrontOptions {
  readonly config: Config;
  readonly version: string;
  readonly instance: string;
  readonly log: Logger;
  readonly now: () => number;
  readonly repositories: Repositories;
  readonly observers: Observers;
  readonly leases: BlobLeases;
  readonly tls: TlsFiles | undefined;
  readonly tracer: Tracer | undefined;
  /** Notes that what has that digest was used. */
  readonly touch: (digest: Digest) => void;
  /** It can't go on, for that reason. */
  readonly onBroken: (reason: Error) => void;
}

export interface Front {
  readonly url: string;
  readonly warnings: readonly string[];
  /** Processes that answer beside this one. */
  readonly running: number;
  /** Requests that this process is answering, or that wait for their turn. */
  readonly inFlight: number;
  /** Tells that what rests on the key, or all without one, is no longer as it was. */
  drop(key: string | undefined): void;
  /** What was counted in other processes. */
  snapshots(): Promise<readonly Snapshot[]>;
  /** Lets nobody in any more, and resolves when the last answer is out, or cut off when the grace has passed. */
  close(graceMs: number): Promise<void>;
}

/** Of the memory for what is asked often: for whole answers. */
export const ANSWERS_SHARE = 1 / 4;

/** @throws Error where the address can't be listened on */
export async function openListener(options: FrontOptions): Promise<Front> {
  const { config, instance, now, repositories, observers, tls, tracer, touch } = options;
  const answers = new HotAnswers(config.cache.memoryBytes * ANSWERS_SHARE);
  const lingering = new LingeringLeases(options.leases);
  const app = createRegistryApp({
    ...{ repositories, instance, observe: observers.request, tracer },
    ...{ keeper: answers, hot: { answers, touch, now } },
    deliver: accelOf(options, lingering),
  });
  const listener = await ListeningServer.listen(app, config.listen, {
    ...{ tls, ...config.clients, onRefused: observers.refused },
  });
  return {
    url: listener.url,
    ...{ warnings: [], running: 0 },
    get inFlight() {
      return listener.inFlight;
    },
    drop: (key) => answers.drop(key),
    snapshots: () => Promise.resolve([]),
    close: async (graceMs) => {
      await listener.close(AbortSignal.timeout(graceMs));
      lingering[Symbol.dispose]();
    },
  };
}

/** Sends nothing by itself where no server in front may. */
export function accelOf({ config: { accel, dataDir } }: FrontOptions, leases: LingeringLeases): Deliver {
  if (!accel) return () => undefined;
  const { header, prefix, minBytes } = accel;
  const root = header === 'x-sendfile' ? `${blobFiles.directory(join(dataDir, 'blobs'))}/` : prefix;
  return accelerated({
    ...{ header, minBytes },
    locate: (digest) => root + blobFiles.fileOf(digest),
    hold: (digest) => leases.hold(digest),
  });
}
