/**
 * What vouches for a file that is only partly there: a small file beside it, to which a line is appended every few MiB
 * with the digest of the bytes so far, as they came from the network. Nothing is synced: after a power cut the lines
 * tell which bytes have survived, because only those have the digest.
 *
 *     entrepot-partial 1 <bytes of the whole blob, or - where upstream did not say>
 *     <length> <digest of that many bytes>
 *     ...
 */
import { appendFile, readFile, rm, truncate } from 'node:fs/promises';
import { isDigest, type DigestHasher } from '../oci/digest.ts';
import type { SharedHandle } from './shared-handle.ts';
import type { Prefix } from './spool-errors.ts';

const INTERVAL_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const HEADER = /^entrepot-partial 1 (-|\d{1,16})$/;
const LINE = /^([1-9]\d{0,15}) (\S+)$/;

export const CHECKPOINTS_SUFFIX = '.checkpoints';

export interface CheckpointList {
  /** Of the whole blob, where upstream told. */
  readonly size: number | undefined;
  /** In the order of their lengths. */
  readonly prefixes: readonly Prefix[];
}

/** The checkpoints of one file, as it grows. */
export class Checkpoints {
  readonly #path: string;
  readonly #size: number | undefined;
  #lastLength = 0;
  #written: Promise<void> = Promise.resolve();

  constructor(dataPath: string, size: number | undefined) {
    this.#path = dataPath + CHECKPOINTS_SUFFIX;
    this.#size = size;
  }

  isDue(length: number): boolean {
    return length >= this.#lastLength + INTERVAL_BYTES;
  }

  /** Nobody waits for it. After one that could not be written there are no more: what it costs is a longer download later. */
  add(prefix: Prefix): void {
    if (prefix.length <= this.#lastLength) return;
    const text = (this.#lastLength === 0 ? headerOf(this.#size) : '') + lineOf(prefix);
    this.#lastLength = prefix.length;
    this.#written = this.#written.then(() => appendFile(this.#path, text));
    this.#written.catch(() => undefined); // `flush` tells of it.
  }

  /** Resolves when all lines are in the file, to whether they are. */
  flush(): Promise<boolean> {
    return this.#written.then(
      () => true,
      () => false,
    );
  }

  /** Goes on after these, and forgets others, and a line that was not written to its end. */
  async rewind(prefixes: readonly Prefix[]): Promise<void> {
    const last = prefixes.at(-1);
    const text = headerOf(this.#size) + prefixes.map(lineOf).join('');
    await (last ? truncate(this.#path, text.length) : rm(this.#path, { force: true }));
    this.#lastLength = last?.length ?? 0;
  }

  async remove(): Promise<void> {
    // A line that comes late would make the file anew.
    await this.flush();
    await rm(this.#path, { force: true });
  }
}

/** `undefined` where there are none that could be used. */
export async function readCheckpoints(dataPath: string): Promise<CheckpointList | undefined> {
  // What can't be read vouches for nothing, and is worth no more than what is not there.
  const text = await readFile(dataPath + CHECKPOINTS_SUFFIX, 'latin1').catch(() => '');
  // What follows the last line break is a line that was not written to its end.
  const [header, ...lines] = text.split('\n').slice(0, -1);
  const announced = HEADER.exec(header ?? '')?.[1];
  if (announced === undefined) return undefined;
  const size = announced === '-' ? undefined : Number(announced);
  const prefixes: Prefix[] = [];
  for (const line of lines) {
    const [, length, digest = ''] = LINE.exec(line) ?? [];
    const previous = prefixes.at(-1)?.length ?? 0;
    if (!isDigest(digest) || Number(length) <= previous) break;
    prefixes.push({ length: Number(length), digest });
  }
  return { size, prefixes };
}

interface Proven {
  readonly length: number;
  /** Has seen these bytes. */
  readonly hasher: DigestHasher;
}

/** Reads a file on from `start`, and yields each checkpoint that its bytes prove right, up to the first that they don't. */
export async function* provenPrefixes(
  file: SharedHandle,
  prefixes: readonly Prefix[],
  start: Proven,
  signal: AbortSignal,
): AsyncIterable<Proven> {
  const hasher = start.hasher.copy();
  // Not of the pool: where the disk hangs, it may be written to long after.
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  let position = start.length;
  for (const { length, digest } of prefixes) {
    if (length <= start.length) continue;
    while (position < length) {
      signal.throwIfAborted();
      // What can't be read is worth no more than what is not there.
      const count = await file.read(buffer, Math.min(READ_BYTES, length - position), position).catch(() => 0);
      if (count === 0) return;
      hasher.update(buffer.subarray(0, count));
      position += count;
    }
    if (hasher.digestSoFar() !== digest) return;
    yield { length, hasher: hasher.copy() };
  }
}

function headerOf(size: number | undefined): string {
  return `entrepot-partial 1 ${size ?? '-'}\n`;
}

function lineOf({ length, digest }: Prefix): string {
  return `${length} ${digest}\n`;
}
