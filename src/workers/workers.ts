/** The workers of a keeper: as many as are wanted, each started again when it dies, and told what all have to know. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Snapshot } from '../telemetry/metrics-merge.ts';
import type { PemPair, WorkerSettings } from './messages.ts';
import { WorkerProcess, type WorkerEvents } from './worker-process.ts';

export interface WorkersOptions extends WorkerEvents {
  readonly count: number;
  /** The file that a worker runs. */
  readonly program: string;
  /** Of a worker that is started now. */
  readonly settings: () => Omit<WorkerSettings, 'id'>;
  readonly log: Logger;
  /** A worker is gone. */
  readonly onLost: (worker: number) => void;
  /** One takes the place of another. */
  readonly onReplaced: () => void;
  /** Makes one of several. */
  readonly sumUp: (snapshots: readonly Snapshot[]) => Promise<Snapshot>;
  /** They can't be kept running. */
  readonly onBroken: (reason: Error) => void;
}

/** One that is gone sooner was of no use. */
const SHORT_LIFE_MS = 10_000;
/** So many short lives in turn, the last of which came to nothing, and it is no accident. */
const MAX_SHORT_LIVES = 6;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;

/** Those that are gone can't be replaced. */
export class WorkersError extends Error {}

export class Workers {
  /** Called when one can take connections that took none before. */
  onReady: () => void = () => undefined;
  readonly #options: WorkersOptions;
  readonly #running = new Set<WorkerProcess>();
  readonly #ready = new Set<WorkerProcess>();
  readonly #closing = new AbortController();
  /** What those counted that are gone. Summed up one after the other: two that end at once both count. */
  #past: Promise<Snapshot> = Promise.resolve([]);
  #lastId = 0;
  #shortLives = 0;
  #dropped: Set<string> | undefined;

  private constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Resolves when all are ready; rejects with the reason, and none is left, when one never is. */
  static async start(options: WorkersOptions): Promise<Workers> {
    const workers = new Workers(options);
    const started = Array.from({ length: options.count }, () => workers.#start());
    try {
      await Promise.all(started.map(({ ready }) => ready));
    } catch (error) {
      await workers.close(AbortSignal.abort(), 0);
      throw error;
    }
    for (const worker of started) void workers.#keep(worker);
    return workers;
  }

  /** Those that can take connections. */
  get ready(): readonly WorkerProcess[] {
    return [...this.#ready];
  }

  /** @param key what no longer is as it was; nothing is without one */
  drop(key: string | undefined): void {
    // Many in one go, as when blobs are evicted, are told in one message.
    if (!this.#dropped) {
      this.#dropped = new Set();
      queueMicrotask(() => this.#tellDropped());
    }
    this.#dropped.add(key ?? ALL);
  }

  /** For new connections. */
  useTls(tls: PemPair): void {
    for (const worker of this.#running) worker.useTls(tls);
  }

  /** Of those that run, as they are now, and of those that are gone. */
  async snapshots(): Promise<readonly Snapshot[]> {
    await Promise.all([...this.#running].map((worker) => worker.measure()));
    // Taken in one turn: a worker is among those that run or those that are gone.
    const running = Array.from(this.#running, ({ snapshot }) => snapshot);
    return [await this.#past, ...running];
  }

  /** Lets them finish what runs within the grace, and resolves when none is left. */
  async close(grace: AbortSignal, graceMs: number): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#running].map((worker) => worker.stop(grace, graceMs)));
  }

  #start(): WorkerProcess {
    const { program, settings, log, onLost } = this.#options;
    const worker = new WorkerProcess(program, { ...settings(), id: (this.#lastId += 1) }, this.#options);
    this.#running.add(worker);
    worker.ready.then(
      () => {
        this.#ready.add(worker);
        log.debug({ worker: worker.id, pid: worker.pid }, 'a worker is ready');
        this.onReady();
      },
      () => undefined,
    );
    void worker.exited.then(() => {
      this.#running.delete(worker);
      this.#ready.delete(worker);
      onLost(worker.id);
    });
    return worker;
  }

  /** Puts another in the place of one that is gone, for as long as there are to be any. */
  async #keep(worker: WorkerProcess): Promise<void> {
    const { log, onBroken, onReplaced, sumUp } = this.#options;
    const { signal } = this.#closing;
    const startedAt = performance.now();
    const wasReady = worker.ready.then(
      () => true,
      () => false,
    );
    const reason = await worker.exited;
    this.#past = this.#past.then((past) => sumUp([past, worker.snapshot]));
    if (signal.aborted) return;
    log.error({ worker: worker.id, pid: worker.pid, reason }, 'a worker is gone; another takes its place');
    this.#shortLives = performance.now() - startedAt < SHORT_LIFE_MS ? this.#shortLives + 1 : 0;
    if (this.#shortLives >= MAX_SHORT_LIVES && !(await wasReady)) {
      onBroken(new WorkersError(`no worker can be started: ${reason}`));
      return;
    }
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#shortLives);
    try {
      await pause(pauseMs, undefined, { signal });
    } catch {
      return;
    }
    onReplaced();
    void this.#keep(this.#start());
  }

  #tellDropped(): void {
    const keys = this.#dropped?.has(ALL) ? undefined : [...(this.#dropped ?? [])];
    this.#dropped = undefined;
    for (const worker of this.#running) worker.drop(keys);
  }
}

/** No key is empty. */
const ALL = '';
