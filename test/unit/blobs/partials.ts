/** A blob of several checkpoints, and what is left of it when its download ends early. */
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'vitest';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { Spool, type SpoolFile, type SpoolOptions } from '../../../src/blobs/spool.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { randomBytes } from '../../support/images.ts';
import { tempDir } from '../../support/temp-dir.ts';

export const MIB = 1024 * 1024;
export const SIZE = 10 * MIB;
export const bytes = randomBytes('partial', SIZE);
export const digest = digestOf(bytes);
export const { signal } = new AbortController();

export function openSpool(directory: string, options?: SpoolOptions): Promise<Spool> {
  return Spool.open(directory, new BufferPool(), options);
}

/** In chunks of 4 MiB, each of which is a write of its own, with a checkpoint after it. */
export function bodyOf(content: Buffer, start = 0, end = content.length): Readable {
  const chunks: Buffer[] = [];
  for (let position = start; position < end; position += 4 * MIB) {
    chunks.push(content.subarray(position, Math.min(end, position + 4 * MIB)));
  }
  return Readable.from(chunks);
}

/** As a download does that begins at `offset`. */
export function append(file: SpoolFile, offset = file.bytesWritten, end = SIZE): Promise<void> {
  return file.append(bodyOf(bytes, offset, end), { signal, skip: file.bytesWritten - offset });
}

/** Leaves that many bytes of the blob as a download does that fails. */
export async function leavePartial(spool: Spool, content: Buffer, length: number): Promise<Digest> {
  const wanted = digestOf(content);
  await using file = await spool.create(wanted, content.length);
  await file.append(bodyOf(content, 0, length), { signal });
  return wanted;
}

export interface Left {
  /** The directory; may be opened as a spool. */
  readonly path: string;
  readonly data: string;
  readonly checkpoints: string;
}

/** What a process leaves that is killed when it has written so many bytes of the blob: its files as they are then. */
export async function killedAfter(
  length: number,
  directory: string,
  { wanted = digest, isSizeKnown = true } = {},
): Promise<Left> {
  await using alive = await tempDir();
  const spool = await openSpool(alive.path);
  await using file = await spool.create(wanted, isSizeKnown ? SIZE : undefined);
  await append(file, 0, length);
  // Checkpoints are written while the download goes on.
  await expect
    .poll(() => checkpointLengths(alive.path), { interval: 1, timeout: 10_000 })
    .toHaveLength(Math.floor(length / (4 * MIB)));
  await cp(alive.path, directory, { recursive: true });
  return await filesIn(directory);
}

export async function filesIn(directory: string): Promise<Left> {
  const names = await readdir(directory);
  const of = (isWanted: (name: string) => boolean) => join(directory, names.find(isWanted) ?? 'none');
  return {
    path: directory,
    data: of((name) => !name.endsWith('.checkpoints')),
    checkpoints: of((name) => name.endsWith('.checkpoints')),
  };
}

export async function checkpointLengths(directory: string): Promise<readonly number[]> {
  const { checkpoints } = await filesIn(directory);
  const text = await readFile(checkpoints, 'utf8').catch(() => '');
  const lines = text.split('\n').slice(1, -1);
  return lines.map((line) => Number(line.split(' ')[0]));
}
