/** Turns folders of real files into layers: gzipped tar files, named by their digest. */
import { spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { PROGRAM_PATH } from './programs.ts';

export interface Layer {
  readonly digest: string;
  readonly size: number;
  /** The digest of the tar file before compression. */
  readonly diffId: string;
}

interface Entry {
  readonly path: string;
  readonly size: number;
}

async function entriesOf(root: string): Promise<Entry[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = found
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    // Device nodes are the container runtime's to make.
    .filter((path) => !path.startsWith('dev/'))
    .sort();
  return Promise.all(paths.map(async (path) => ({ path, size: (await lstat(join(root, path))).size })));
}

/** Every path under `root` once, in as many groups as there are weights, whose sizes are about as the weights. */
export async function splitTree(root: string, weights: readonly number[]): Promise<string[][]> {
  const entries = await entriesOf(root);
  const totalSize = entries.reduce((sum, entry) => sum + entry.size, 0);
  const totalWeight = weights.reduce((sum, weight) => sum + weight, 0);
  const groups: string[][] = weights.map(() => []);
  let group = 0;
  let sizeSoFar = 0;
  let limit = (totalSize * weights[0]!) / totalWeight;
  for (const entry of entries) {
    if (sizeSoFar >= limit && group < weights.length - 1) {
      group += 1;
      limit += (totalSize * weights[group]!) / totalWeight;
    }
    groups[group]!.push(entry.path);
    sizeSoFar += entry.size;
  }
  return groups;
}

class HashingStream extends Transform {
  readonly #hash: Hash = createHash('sha256');
  size = 0;

  get digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: (e: null, c: Buffer) => void): void {
    this.#hash.update(chunk);
    this.size += chunk.length;
    done(null, chunk);
  }
}

/** A layer of exactly these paths under `root`, written into `blobsDir` under its digest. */
export async function writeLayer(blobsDir: string, root: string, paths: readonly string[]): Promise<Layer> {
  const options = ['--create', '--directory', root, '--no-recursion', '--null', '--files-from=-'];
  const tar = spawn('tar', [...options, '--numeric-owner', '--sort=none'], {
    env: { PATH: PROGRAM_PATH },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const status = new Promise<number | null>((resolve) => tar.once('close', resolve));
  const [unpacked, packed] = [new HashingStream(), new HashingStream()];
  const file = join(blobsDir, `layer-${process.pid}`);
  tar.stdin.end(paths.join('\0'));
  await pipeline(tar.stdout, unpacked, createGzip({ level: 1 }), packed, createWriteStream(file));
  if ((await status) !== 0) throw new Error(`tar could not read ${root}`);
  const layer = { digest: packed.digest, size: packed.size, diffId: unpacked.digest };
  await rename(file, join(blobsDir, layer.digest.slice('sha256:'.length)));
  return layer;
}
