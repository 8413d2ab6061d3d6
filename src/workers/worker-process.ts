/** One worker as the keeper sees it: a child process that is started, given connections, asked for its metrics, ended. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Refusal } from '../http/refusal.ts';
import type { Digest } from '../oci/digest.ts';
import type { Snapshot } from '../telemetry/metrics-merge.ts';
import type { Taker } from './door.ts';
import type { Ending, FromWorker, PemPair, ToWorker, WorkerSettings } from './messages.ts';

export interface WorkerEvents {
  readonly onEnded: (worker: number, ending: Ending) => void;
  readonly onUsed: (digests: readonly Digest[]) => void;
  readonly onRefused: (refusal: Refusal) => void;
  /** Lines of its log. */
  readonly onLines: (lines: string) => void;
}

/** A worker that does not answer in that time is busy or hung: its metrics are those that it gave last. */
const MEASURE_MS = 1000;

/**
 * To be woken for each line costs more than the line. So a little is left to gather, in the kernel, where it is safe from
 * whatever happens to the worker: 1 us of the keeper's CPU for each line then (measured).
 */
const GATHER_MS = 5;
/** Behind more than that there may be more already. */
const FEW_CHARACTERS = 32 * 1024;

export class WorkerProcess implements Taker {
  readonly id: number;
  /** Resolves, with the reason, when it is gone. */
  readonly exited: Promise<string>;
  /** Resolves when it can take connections; rejects with the reason when it never will. */
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #events: WorkerEvents;
  readonly #ready = Promise.withResolvers<undefined>();
  /** While it is asked: whoever asks meanwhile gets the same answer. */
  #measuring: PromiseWithResolvers<undefined> | undefined;
  #connections = 0;
  /** Node.js hands over one at a time, and forgets the others when the worker dies: they would stay open. */
  readonly #leaving = new Set<Socket>();
  #failure = '';
  /** What it gave last. */
  #snapshot: Snapshot = [];

  constructor(program: string, settings: WorkerSettings, events: WorkerEvents) {
    this.id = settings.id;
    this.#events = events;
    this.#child = fork(program, [], {
      ...{ stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env: environment() },
    });
    this.ready = this.#ready.promise;
    this.#child.on('message', (message: FromWorker) => this.#hear(message));
    // It could not be started, or not be told something: it is gone, or will be in a moment.
    this.#child.on('error', (error) => (this.#failure ||= error.message));
    this.#relayLines();
    this.exited = this.#watch();
    this.#send({ kind: 'start', settings });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get connections(): number {
    return this.#connections;
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  take(socket: Socket): void {
    this.#connections += 1;
    if (!this.#child.connected) {
      socket.destroy();
      return;
    }
    this.#leaving.add(socket);
    // What is on its way the kernel keeps, for as long as there is a worker. Node.js would keep it for good.
    this.#child.send({ kind: 'connection' } satisfies ToWorker, socket, { keepOpen: true }, () => {
      this.#leaving.delete(socket);
      socket.destroy();
    });
  }

  drop(keys: readonly string[] | undefined): void {
    this.#send({ kind: 'drop', keys });
  }

  /** For the connections that it is given from now on. */
  useTls(tls: PemPair): void {
    this.#send({ kind: 'tls', tls });
  }

  /** Resolves when `snapshot` is as it is now, or as it was last. */
  async measure(): Promise<void> {
    if (!this.#measuring) {
      const { promise, resolve } = (this.#measuring = Promise.withResolvers<undefined>());
      const late = setTimeout(resolve, MEASURE_MS, undefined);
      this.#send({ kind: 'measure' });
      void Promise.race([promise, this.exited]).then(() => {
        clearTimeout(late);
        resolve(undefined);
        this.#measuring = undefined;
      });
    }
    await this.#measuring.promise;
  }

  /** Lets it finish what runs within the grace, and resolves when it is gone. */
  async stop(grace: AbortSignal, graceMs: number): Promise<void> {
    this.#send({ kind: 'stop', graceMs });
    const kill = setTimeout(() => this.kill(), graceMs + KILL_MS);
    if (grace.aborted) this.kill();
    await this.exited;
    clearTimeout(kill);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, ignoreError);
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve(undefined);
        return;
      case 'failed':
        this.#failure = message.reason;
        return;
      case 'closed':
        this.#connections -= 1;
        return;
      case 'ended':
        this.#events.onEnded(this.id, message.ending);
        return;
      case 'used':
        this.#events.onUsed(message.digests);
        return;
      case 'refused':
        this.#events.onRefused(message.refusal);
        return;
      case 'measured':
        this.#snapshot = message.snapshot;
        this.#measuring?.resolve(undefined);
    }
  }

  /** Whole ones only: what others write between must not cut one in two. */
  #relayLines(): void {
    const { stdout } = this.#child;
    let begun = '';
    stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.length < FEW_CHARACTERS) {
        stdout.pause();
        setTimeout(() => stdout.resume(), GATHER_MS);
      }
      const end = text.lastIndexOf('\n') + 1;
      if (end > 0) {
        this.#events.onLines(begun + text.slice(0, end));
        begun = '';
      }
      begun += text.slice(end);
    });
  }

  async #watch(): Promise<string> {
    // `close` comes when all that it wrote is in, and also when it could not be started.
    const [code, signal] = (await once(this.#child, 'close').catch(() => [null, null])) as [
      number | null,
      NodeJS.Signals | null,
    ];
    for (const socket of this.#leaving) socket.destroy();
    this.#leaving.clear();
    const reason =
      this.#failure || (signal === null ? `it ended with code ${code}` : `it ended by ${signal}`);
    this.#ready.promise.catch(() => undefined);
    this.#ready.reject(new Error(`worker ${this.id} does not start: ${reason}`));
    return reason;
  }
}

/** Without our settings, some of which are credentials: a worker is told those that it needs. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ENTREPOT_')));
}

/** Beyond the grace, in which it cuts off by itself what still runs. */
const KILL_MS = 5000;

/** Of a message to one that has just gone, which its `close` tells. */
function ignoreError(): void {
  // Nothing is left to do.
}
