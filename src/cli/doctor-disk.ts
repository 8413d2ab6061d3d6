/** What doctor looks at on this machine's disk: the data directory, its file system and the room on it. */
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { formatSize } from '../lib/units.ts';
import { isSqueezed, type Finding } from './finding.ts';

/** By their numbers in statfs(2): what a cache should not lie on. */
const UNFIT: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs: it is memory, and gone after a restart'],
  [0x794c7630, 'overlayfs: a layer of a container, gone with it; mount a volume there'],
  [0x6969, 'NFS: the index needs a local disk'],
  [0xff534d42, 'CIFS: the index needs a local disk'],
  [0xfe534d42, 'SMB: the index needs a local disk'],
]);
const PARTS = ['blobs', 'spool', 'repositories', 'index.sqlite'];
const GIB = 1024 ** 3;

/** @param cachedBytes what the mirror has there already */
export async function* examineDataDirectory(config: Config, cachedBytes: number): AsyncIterable<Finding> {
  const { dataDir } = config;
  const check = 'data directory';
  const found = await statOf(dataDir);
  if (found === undefined) {
    yield {
      check,
      result: 'warning',
      found: `${dataDir} is not there`,
      advice: 'serve makes it when it starts',
    };
    return;
  }
  if (!found.isDirectory()) {
    yield { check, result: 'failed', found: `${dataDir} is no directory`, advice: 'set dataDir to one' };
    return;
  }
  yield (await isWritable(dataDir))
    ? { check, result: 'ok', found: `${dataDir} can be written` }
    : {
        check,
        result: 'warning',
        found: `${dataDir} can't be written by the user that runs this`,
        advice: 'the mirror has to run as one that may',
      };
  yield* examineFileSystem(dataDir, found.dev);
  yield* examineRoom(config, cachedBytes);
}

async function* examineFileSystem(dataDir: string, device: number): AsyncIterable<Finding> {
  const parts = await Promise.all(
    PARTS.map(async (name) => ({ name, dev: (await statOf(join(dataDir, name)))?.dev })),
  );
  const apart = parts.filter(({ dev }) => dev !== undefined && dev !== device).map(({ name }) => name);
  const unfit = UNFIT.get((await statfs(dataDir)).type);
  if (apart.length > 0) {
    yield {
      check: 'file system',
      result: 'failed',
      found: `${apart.join(', ')} lie on another file system than the data directory itself`,
      advice: 'what is downloaded is moved into its place, which works within one file system only',
    };
  } else if (unfit !== undefined) {
    yield { check: 'file system', result: 'warning', found: `the data directory lies on ${unfit}` };
  } else
    yield { check: 'file system', result: 'ok', found: 'all of the data lie on one, and it is fit for them' };
}

async function* examineRoom({ dataDir, cache }: Config, cachedBytes: number): AsyncIterable<Finding> {
  const { bavail, blocks, bsize } = await statfs(dataDir);
  const { maxSize } = cache;
  const bound = maxSize.kind === 'bytes' ? maxSize.bytes : maxSize.share * blocks * bsize;
  const free = bavail * bsize;
  const reachable = cachedBytes + free;
  const found = `${formatSize(free)} free, for a cache of at most ${formatSize(bound)}`;
  if (free < GIB && reachable < bound) {
    yield {
      check: 'free space',
      result: 'failed',
      found,
      advice: 'make room on the disk: what finds none is passed through without being kept',
    };
  } else if (isSqueezed(reachable, bound)) {
    yield {
      check: 'free space',
      result: 'warning',
      found: `${found}: it can grow to ${formatSize(reachable)} only`,
      advice: 'make room on the disk, or set cache.maxSize lower',
    };
  } else yield { check: 'free space', result: 'ok', found };
}

/** Undefined where there is nothing. */
async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
