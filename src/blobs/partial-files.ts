/**
 * What is there of blobs whose download ended before they were whole, and nobody is writing now: one file for each
 * digest, with its checkpoints beside it. It survives the process, however that ends.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { algorithmOf, hexOf, isDigest, type Digest } from '../oci/digest.ts';
import { CHECKPOINTS_SUFFIX, readCheckpoints } from './checkpoints.ts';

/** A file that is only partly there. */
export interface Leftover {
  readonly digest: Digest;
  /** Of the whole blob, as upstream announced it. */
  readonly size: number | undefined;
  readonly path: string;
  /** Bytes on the disk. */
  readonly length: number;
  /** Those of them that a checkpoint vouches for. */
  readonly provenLength: number;
}

export interface PartialFile extends Leftover {
  /** When it was last written to, or tried. */
  readonly usedAt: number;
}

const NAME = /^([^-]+)-([^-]+)-[0-9a-f-]{36}$/;

export class PartialFiles {
  /** The one used least recently first. */
  readonly #files = new Map<Digest, PartialFile>();
  readonly #now: () => number;

  private constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes over the directory: keeps the best file of each digest, and removes whatever else is in it. */
  static async open(directory: string, now: () => number): Promise<PartialFiles> {
    await mkdir(directory, { recursive: true });
    const names = await readdir(directory);
    const best = new Map<Digest, PartialFile>();
    for (const name of names) {
      const file = await inspect(directory, name);
      if (file && file.provenLength > (best.get(file.digest)?.provenLength ?? 0)) best.set(file.digest, file);
    }
    const kept = new Set([...best.values()].flatMap(({ path }) => [path, path + CHECKPOINTS_SUFFIX]));
    for (const name of names) {
      const path = join(directory, name);
      if (!kept.has(path)) await rm(path, { force: true, recursive: true });
    }
    const partials = new PartialFiles(now);
    const byUse = [...best.values()].sort((one, other) => one.usedAt - other.usedAt);
    for (const file of byUse) partials.#files.set(file.digest, file);
    return partials;
  }

  get bytes(): number {
    let bytes = 0;
    for (const { length } of this.#files.values()) bytes += length;
    return bytes;
  }

  find(digest: Digest): PartialFile | undefined {
    return this.#files.get(digest);
  }

  /** Gives it away: nobody else finds it, until it is kept again. */
  take(digest: Digest): PartialFile | undefined {
    const file = this.#files.get(digest);
    this.#files.delete(digest);
    return file;
  }

  /** Found from now on, if there is none for its digest that has more; whichever has less is removed. */
  async keep(leftover: Leftover): Promise<void> {
    const rival = this.#files.get(leftover.digest);
    if (rival && rival.provenLength >= leftover.provenLength) {
      await removeFile(leftover.path);
      return;
    }
    this.#files.delete(leftover.digest);
    this.#files.set(leftover.digest, { ...leftover, usedAt: this.#now() });
    if (rival) await removeFile(rival.path);
  }

  async discard(digest: Digest): Promise<void> {
    const file = this.#files.get(digest);
    if (file) await this.#remove(file);
  }

  /** Removes those used least recently until that many bytes are free; resolves to how many are. */
  async drop(bytes: number): Promise<number> {
    let freed = 0;
    for (const file of this.#files.values()) {
      if (freed >= bytes) break;
      freed += await this.#remove(file);
    }
    return freed;
  }

  /** Removes those that were not used for longer than that; resolves to the bytes freed. */
  async expire(olderThanMs: number): Promise<number> {
    let freed = 0;
    for (const file of this.#files.values()) {
      if (this.#now() - file.usedAt > olderThanMs) freed += await this.#remove(file);
    }
    return freed;
  }

  async #remove(file: PartialFile): Promise<number> {
    // Nobody may take it while it goes.
    this.#files.delete(file.digest);
    try {
      await removeFile(file.path);
    } catch (error) {
      // Its bytes are still there, and have to count.
      if (!this.#files.has(file.digest)) this.#files.set(file.digest, file);
      throw error;
    }
    return file.length;
  }
}

/** A name of its own for each file, which tells what it is to become. */
export function pathFor(directory: string, digest: Digest): string {
  return join(directory, `${algorithmOf(digest)}-${hexOf(digest)}-${randomUUID()}`);
}

/** The file with its checkpoints, if it is there. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(path + CHECKPOINTS_SUFFIX, { force: true });
}

/** `undefined` where it is no file of a blob, or nothing vouches for any byte of it. */
async function inspect(directory: string, name: string): Promise<PartialFile | undefined> {
  const digest = name.replace(NAME, '$1:$2');
  if (!isDigest(digest)) return undefined;
  const path = join(directory, name);
  const checkpoints = await readCheckpoints(path);
  if (!checkpoints) return undefined;
  const { size: length, mtimeMs } = await stat(path);
  const proven = checkpoints.prefixes.findLast((prefix) => prefix.length <= length);
  if (!proven) return undefined;
  return { digest, size: checkpoints.size, path, length, provenLength: proven.length, usedAt: mtimeMs };
}
