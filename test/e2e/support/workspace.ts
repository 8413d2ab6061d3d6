/** What one test file works in: a folder of its own, and the daemons to be ended before the folder goes. */
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { Daemon, type DaemonOptions } from './daemon.ts';
import { requirePrograms } from './programs.ts';

export class Workspace implements AsyncDisposable {
  readonly #dir: string;
  readonly #ends = new AsyncDisposableStack();
  readonly #daemons: Daemon[] = [];

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(): Promise<Workspace> {
    await requirePrograms();
    return new Workspace(await mkdtemp(join(tmpdir(), 'entrepot-')));
  }

  path(...parts: readonly string[]): string {
    return join(this.#dir, ...parts);
  }

  async folder(...parts: readonly string[]): Promise<string> {
    const folder = this.path(...parts);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  async start(options: Omit<DaemonOptions, 'logFile'>): Promise<Daemon> {
    const logFile = join(await this.folder('logs'), `${options.name}.log`);
    const daemon = await Daemon.start({ ...options, logFile });
    this.#daemons.push(daemon);
    this.#ends.use(daemon);
    return daemon;
  }

  /** Last in, first out, as with the daemons. */
  defer(end: () => Promise<unknown>): void {
    this.#ends.defer(async () => {
      await end();
    });
  }

  async printLogs(): Promise<void> {
    for (const daemon of this.#daemons) {
      console.error(`--- the end of the log of ${daemon.name}\n${await daemon.logTail()}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#ends.disposeAsync();
    } finally {
      await rm(this.#dir, { recursive: true, force: true });
    }
  }
}

/** Opens a workspace for the test file that calls this, and shows its logs where a test fails. */
export function useWorkspace(): () => Workspace {
  let workspace: Workspace | undefined;
  beforeAll(async () => {
    workspace = await Workspace.open();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await workspace?.printLogs();
  });
  afterAll(async () => {
    await workspace?.[Symbol.asyncDispose]();
  });
  return () => {
    if (workspace === undefined) throw new Error('the workspace opens before the first test');
    return workspace;
  };
}
