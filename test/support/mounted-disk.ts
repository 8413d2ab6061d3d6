/** A small real file system of a test's own, which somebody else can fill and which can become read-only under us. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';

const run = promisify(execFile);
const KIB = 1024;
const CHUNK_SIZES = [64 * KIB, KIB];

export interface SmallDisk extends AsyncDisposable {
  /** For the data of a mirror. */
  readonly dataDir: string;
  /** Somebody else writes a file until the disk is full, to the last block. */
  fill(): Promise<void>;
  /** That file goes. */
  clear(): Promise<void>;
}

export interface RemountableDisk extends SmallDisk {
  /** For all that is opened from now on; what is open stays as it is, for a kernel refuses to change that. */
  makeReadOnly(): Promise<void>;
  makeWritable(): Promise<void>;
}

export interface FailingDisk extends SmallDisk {
  /** As after an I/O error: the kernel lets nobody write any more, whatever is open, for good. */
  fail(): Promise<void>;
}

/** In memory. Needs the right to mount, as CI has; without it the test fails. */
export async function smallDisk(bytes: number): Promise<RemountableDisk> {
  const { disk, root } = await mounted((path) => ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  const { dataDir } = disk;
  const aside = join(root, 'aside');
  await mkdir(aside);
  return {
    ...disk,
    makeReadOnly: async () => {
      // Aside at first: whoever opened a file for writing in between would keep the mount from becoming read-only.
      await run('mount', ['--bind', dataDir, aside]);
      await run('mount', ['-o', 'remount,bind,ro', aside]);
      await run('mount', ['--bind', aside, dataDir]);
      await run('umount', [aside]);
    },
    makeWritable: async () => {
      await run('umount', ['--lazy', dataDir]);
    },
  };
}

/** An ext4 in a file. */
export async function failingDisk(bytes: number): Promise<FailingDisk> {
  const image = await mkdtemp(join(tmpdir(), 'entrepot-image-'));
  const file = join(image, 'disk');
  const handle = await open(file, 'w');
  await handle.truncate(bytes).finally(() => handle.close());
  await run('mkfs.ext4', ['-q', '-F', file]);
  const { disk, root } = await mounted((path) => ['-o', 'loop', file, path], image);
  return {
    ...disk,
    fail: async () => {
      await run('mount', ['-o', 'remount,abort', root]);
    },
  };
}

async function mounted(
  mountArguments: (path: string) => readonly string[],
  alsoRemoved?: string,
): Promise<{ disk: SmallDisk; root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'entrepot-disk-'));
  let isGone = false;
  const dispose = async () => {
    if (isGone) return;
    isGone = true;
    // Lazy: a test that failed may have left files open, and no mount may stay because of it.
    await run('umount', ['--recursive', '--lazy', root]);
    for (const path of [root, alsoRemoved]) if (path) await rm(path, { recursive: true, force: true });
  };
  await run('mount', mountArguments(root));
  // A test that takes too long is left where it is, and disposes nothing.
  onTestFinished(dispose);
  const dataDir = join(root, 'data');
  const foreign = join(root, 'foreign');
  await mkdir(dataDir);
  const disk = {
    dataDir,
    fill: () => fill(foreign),
    clear: () => rm(foreign, { force: true }),
    [Symbol.asyncDispose]: dispose,
  };
  return { disk, root };
}

async function fill(path: string): Promise<void> {
  const file = await open(path, 'a');
  try {
    // What no large chunk fits into, small ones fill.
    for (const size of CHUNK_SIZES) {
      while (await hasTaken(file.write(Buffer.alloc(size)), size));
    }
    // Where writes wait in memory, the blocks are only found to be missing, or there, when they are made to be written.
    await file.sync();
  } finally {
    await file.close();
  }
}

async function hasTaken(written: Promise<{ readonly bytesWritten: number }>, size: number): Promise<boolean> {
  try {
    return (await written).bytesWritten === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
