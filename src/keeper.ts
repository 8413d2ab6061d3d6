/** What clients meet where workers answer them: this process keeps all that there must be one of. */
import { extname, join } from 'node:path';
import { createRegistryApp } from './http/router.ts';
import { urlOf } from './http/server.ts';
import { accelOf, ANSWERS_SHARE, type Front, type FrontOptions } from './front.ts';
import { LingeringLeases } from './repository/lingering-leases.ts';
import { linesOf } from './telemetry/logger.ts';
import { sumUp } from './telemetry/metrics-merge.ts';
import { Door } from './workers/door.ts';
import { handedToWorkers, tellingWorkers } from './workers/handing.ts';
import { pemPairOf } from './workers/handed-tls.ts';
import { KeeperServer, passedOnBy } from './workers/keeper-server.ts';
import type { WorkerSettings } from './workers/messages.ts';
import { SharedRecords } from './workers/shared-records.ts';
import { Workers } from './workers/workers.ts';

/** Beside this file, in src/ as in dist/. */
const WORKER = join(import.meta.dirname, `worker${extname(import.meta.filename)}`);

/**
 * This process is the keeper: it alone has the index, downloads and evicts.
 * 1. It takes a connection and hands it to a worker, which reads the requests.
 * 2. What a worker can't answer from memory it passes on over a socket, and the keeper answers as it would a client.
 * 3. With an answer that may be given again the worker learns so; of a stored blob it learns which bytes to send.
 * 4. When the client has its answer, the worker says so: now there is a record of the request, and the blob is let go of.
 * @throws Error where the address can't be listened on, or workers do not start
 */
export async function openWorkers(options: FrontOptions): Promise<Front> {
  const { config, instance, log, repositories, observers, tls, tracer, touch } = options;
  await using opening = new AsyncDisposableStack();
  const records = new SharedRecords(observers.request);
  const lingering = opening.use(new LingeringLeases(options.leases));
  const accel = accelOf(options, lingering);
  const hand = handedToWorkers(records);
  const app = createRegistryApp({
    ...{ repositories, instance, observe: records.answered, keeper: tellingWorkers, tracer },
    origin: (request) => records.begin(passedOnBy(request)),
    deliver: (delivery) => accel(delivery) ?? hand(delivery),
  });
  const keeper = await KeeperServer.listen(app);
  opening.defer(() => keeper.close());
  let pair = tls && pemPairOf(tls.current);
  const workers = await Workers.start({
    ...{ count: config.workers, program: WORKER, log, sumUp, onBroken: options.onBroken },
    settings: () => ({ ...settingsOf(options, keeper), tls: pair }),
    onLost: (worker) => records.lost(worker),
    onEnded: (worker, ending) => records.reported(worker, ending),
    onUsed: (digests) => digests.forEach(touch),
    onRefused: observers.refused,
    onReplaced: observers.workerReplaced,
    onLines: linesOf(log),
  });
  opening.defer(() => workers.close(AbortSignal.abort(), 0));
  tls?.watch((changed) => {
    pair = pemPairOf(changed);
    workers.useTls(pair);
  });
  const door = await Door.open(config.listen, {
    ...{ maxConnections: config.clients.maxConnections, onRefused: observers.refused },
    takers: () => workers.ready,
  });
  opening.defer(() => door.close());
  workers.onReady = () => door.handOut();
  const open = opening.move();
  return {
    url: urlOf(door.address, tls !== undefined),
    get warnings() {
      const missing = config.workers - workers.ready.length;
      return missing > 0 ? [`${missing} of ${config.workers} workers are being started again`] : [];
    },
    get running() {
      return workers.ready.length;
    },
    // Each is a worker's, which counts it.
    inFlight: 0,
    drop: (key) => workers.drop(key),
    snapshots: () => workers.snapshots(),
    close: async (graceMs) => {
      tls?.close();
      door.close();
      await workers.close(AbortSignal.timeout(graceMs), graceMs);
      await open.disposeAsync();
    },
  };
}

function settingsOf(
  { config, version }: FrontOptions,
  { address }: KeeperServer,
): Omit<WorkerSettings, 'id' | 'tls'> {
  const { dataDir, clients, cache, workers, sendfile, log } = config;
  return {
    ...{ version, keeper: address, sendfile },
    blobsDir: join(dataDir, 'blobs'),
    timeoutMs: clients.timeoutMs,
    memoryBytes: (cache.memoryBytes * ANSWERS_SHARE) / workers,
    logLevel: log.level,
  };
}
