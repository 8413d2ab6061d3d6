/**
 * How our own disk does: which of its parts takes nothing at the moment, since when and why, in words for people. It
 * judges by what happens to the work that comes anyway, and asks the disk nothing itself.
 */
import { systemMessage } from '../lib/system-message.ts';
import { timeLeft } from '../lib/time-left.ts';

const PARTS = ['index', 'blobs', 'spool'] as const;
export type StoragePart = (typeof PARTS)[number];

export interface StorageFault {
  readonly part: StoragePart;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Of the system or of SQLite. */
  readonly code: string | undefined;
  readonly reason: string;
}

export interface StorageHealthOptions {
  readonly now: () => number;
  /**
   * A part has begun to fail or does so for another reason, or, without a fault, works again: at most two of a minute
   * for each part, however many requests meet it.
   */
  readonly onChange: (part: StoragePart, fault: StorageFault | undefined, error?: Error) => void;
}

interface Failing extends StorageFault {
  /** Whether it was told; only then it is told too that it has ended. */
  readonly isTold: boolean;
}

/** A disk with a few free blocks left fails and works in turns. */
const QUIET_MS = 60_000;
const SLOW_SECONDS = 10;

/** One who does not answer fails as surely as one who says no. */
class SlowDiskError extends Error {
  readonly code = 'SLOW';

  constructor() {
    super(`the disk has not answered for ${SLOW_SECONDS} seconds`);
    this.name = 'SlowDiskError';
  }
}

export class StorageHealth {
  readonly #options: StorageHealthOptions;
  readonly #failing = new Map<StoragePart, Failing>();
  readonly #toldAt = new Map<StoragePart, number>();

  constructor(options: StorageHealthOptions) {
    this.#options = options;
  }

  /** What fails now, what has failed for longest first. */
  get faults(): readonly StorageFault[] {
    return [...this.#failing.values()];
  }

  get parts(): readonly { readonly part: StoragePart; readonly isFailing: boolean }[] {
    return PARTS.map((part) => ({ part, isFailing: this.#failing.has(part) }));
  }

  get warnings(): readonly string[] {
    return this.faults.map(
      ({ part, since, reason }) =>
        `the ${part} can not be used since ${new Date(since).toISOString()}: ${reason}`,
    );
  }

  failed(part: StoragePart, error: unknown): void {
    const now = this.#options.now();
    const before = this.#failing.get(part);
    const { code, reason } = describe(error);
    const isKnown = before?.isTold === true && before.code === code;
    const isTold = isKnown || timeLeft(QUIET_MS, this.#toldAt.get(part) ?? -Infinity, now) === 0;
    const fault = { part, since: before?.since ?? now, code, reason };
    this.#failing.set(part, { ...fault, isTold });
    if (isKnown || !isTold) return;
    this.#toldAt.set(part, now);
    this.#options.onChange(part, fault, error as Error);
  }

  /** Something was written: a read may come from memory, and a disk that takes nothing can often still be read. */
  succeeded(part: StoragePart): void {
    const before = this.#failing.get(part);
    if (!before) return;
    this.#failing.delete(part);
    if (before.isTold) this.#options.onChange(part, undefined);
  }

  /** Learns from a write how the part does, also from one that does not end. */
  async watch<T>(part: StoragePart, write: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.failed(part, new SlowDiskError()), SLOW_SECONDS * 1000);
    timer.unref();
    try {
      const result = await write;
      this.succeeded(part);
      return result;
    } catch (error) {
      this.failed(part, error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What the cache could have is less than it has, or nothing: that is somebody else's doing, who fills the disk. */
export function roomWarnings({ used, limit }: { readonly used: number; readonly limit: number }): string[] {
  if (limit > 0 && used <= limit) return [];
  return [`the disk has no room for the cache: of the ${used} bytes that it has it may keep ${limit}`];
}

const REASONS: readonly (readonly [RegExp, string])[] = [
  [/^(ENOSPC|SQLITE_FULL)$/, 'the disk is full'],
  [/^EDQUOT$/, 'the quota of the disk is used up'],
  [/^(EROFS|SQLITE_READONLY)/, 'the file system is read-only'],
  [/^(EIO|SQLITE_IOERR)/, 'input/output error'],
  [/^(SQLITE_CORRUPT|SQLITE_NOTADB)/, 'the index is corrupt'],
  [/^(EACCES|EPERM)$/, 'permission denied'],
];

/** The parts wrap what the system said in errors of their own. */
function describe(error: unknown): { code: string | undefined; reason: string } {
  let cause = error instanceof Error ? error : new Error(String(error));
  while (codeOf(cause) === undefined && cause.cause instanceof Error) cause = cause.cause;
  const code = codeOf(cause);
  const [, reason = systemMessage(cause)] = REASONS.find(([pattern]) => pattern.test(code ?? '')) ?? [];
  return { code, reason };
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
