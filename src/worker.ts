/**
 * The process of a worker, which a keeper starts and nobody else: it serves the connections that it is handed, and lives
 * no longer than its keeper. Its composition root, as app.ts is that of the keeper.
 */
import type { Socket } from 'node:net';
import { BufferPool } from './blobs/buffers.ts';
import { DiskBlobStore } from './blobs/disk-blob-store.ts';
import { Sendfile } from './blobs/sendfile.ts';
import { HotAnswers } from './http/hot-answers.ts';
import { ListeningServer } from './http/server.ts';
import { systemMessage } from './lib/system-message.ts';
import type { Digest } from './oci/digest.ts';
import { Observers } from './observers.ts';
import { createLogger } from './telemetry/logger.ts';
import { Metrics } from './telemetry/metrics.ts';
import { Answering } from './workers/answering.ts';
import { HandedTls } from './workers/handed-tls.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './workers/messages.ts';

/** How often the keeper is told what was used, for it to be evicted last. */
const USED_MS = 1000;

interface Worker {
  readonly server: ListeningServer;
  readonly tls: HandedTls | undefined;
  readonly answers: HotAnswers;
  readonly metrics: Metrics;
  close(graceMs: number): Promise<void>;
}

/** Resolves when the keeper has it, or is gone: then this process is too, in a moment. */
function tell(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

/** @throws Error where the store or the certificate can't be used */
async function start(settings: WorkerSettings): Promise<Worker> {
  const log = createLogger({ level: settings.logLevel, isPretty: false });
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (err: unknown) => {
      log.fatal({ err, worker: settings.id }, event);
      process.exit(1);
    });
  }
  const answers = new HotAnswers(settings.memoryBytes);
  const metrics = new Metrics(settings.version, () => Promise.reject(new Error('a worker has no state')));
  const observers = new Observers(log, metrics, Date.now);
  const sendfile = Sendfile.load(settings.sendfile);
  const used = new UsedBlobs();
  const answering = new Answering({
    worker: settings.id,
    keeper: settings.keeper,
    hot: { answers, now: Date.now, touch: (digest) => used.add(digest), observe: observers.request },
    files: await DiskBlobStore.open(settings.blobsDir, new BufferPool({ sendfile })),
    onEnded: (ending) => void tell({ kind: 'ended', ending }),
  });
  const tls = settings.tls && new HandedTls(settings.tls);
  const server = ListeningServer.withoutPort(answering.listener, {
    ...{ tls, timeoutMs: settings.timeoutMs },
    onRefused: (refusal) => void tell({ kind: 'refused', refusal }),
  });
  metrics.readInFlight = () => server.inFlight;
  const close = async (graceMs: number) => {
    await server.close(AbortSignal.timeout(graceMs));
    used.close();
    answering.close();
  };
  return { server, tls, answers, metrics, close };
}

/** What was used since the keeper was last told. */
class UsedBlobs {
  readonly #digests = new Set<Digest>();
  readonly #timer = setInterval(() => this.#tell(), USED_MS);

  add(digest: Digest): void {
    this.#digests.add(digest);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#tell();
  }

  #tell(): void {
    if (this.#digests.size === 0) return;
    void tell({ kind: 'used', digests: [...this.#digests] });
    this.#digests.clear();
  }
}

let starting: Promise<Worker> | undefined;
let worker: Worker | undefined;

async function hear(message: ToWorker, socket: Socket | undefined): Promise<void> {
  switch (message.kind) {
    case 'start':
      starting = start(message.settings);
      worker = await starting;
      return tell({ kind: 'ready' });
    case 'connection':
      serve(socket);
      return;
    case 'drop':
      if (message.keys) for (const key of message.keys) worker?.answers.drop(key);
      else worker?.answers.drop(undefined);
      return;
    case 'tls':
      // It may have come while this one was started with the one before.
      (await starting)?.tls?.use(message.tls);
      return;
    case 'measure':
      return measure();
    case 'stop':
      await worker?.close(message.graceMs);
      await measure();
      process.disconnect();
  }
}

function serve(socket: Socket | undefined): void {
  // It may have broken on its way here.
  if (!socket || !worker) {
    void tell({ kind: 'closed' });
    return;
  }
  socket.once('close', () => void tell({ kind: 'closed' }));
  worker.server.take(socket);
}

async function measure(): Promise<void> {
  await tell({ kind: 'measured', snapshot: worker ? await worker.metrics.snapshot() : [] });
}

// The keeper is asked to stop, and lets its workers finish; a terminal asks all of its processes at once.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());
process.on('message', (message: ToWorker, socket: Socket | undefined) => {
  hear(message, socket).catch(async (error: unknown) => {
    process.exitCode = 1;
    await tell({ kind: 'failed', reason: systemMessage(error) });
    process.disconnect();
  });
});
