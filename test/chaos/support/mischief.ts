/** What may happen to files behind the mirror's back: blobs that vanish, are cut short or change; an index that breaks. */
import { open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from '../../support/images.ts';
import type { Random } from '../../support/random.ts';
import type { World } from './world.ts';

export interface BlobFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

/** All in the store; what goes meanwhile may be missing. */
export async function blobFiles(dataDir: string): Promise<readonly BlobFile[]> {
  const root = join(dataDir, 'blobs', 'v1');
  const names = await readdir(root, { recursive: true }).catch(() => []);
  const found = names
    .filter((name) => /^sha(256|512)\/..\/.+$/.test(name))
    .map(async (name) => {
      const [algorithm = '', , hex = ''] = name.split('/');
      const path = join(root, name);
      const size = await stat(path).then(
        (stats) => stats.size,
        () => undefined,
      );
      return size === undefined ? [] : [{ path, digest: `${algorithm}:${hex}`, size }];
    });
  return (await Promise.all(found)).flat();
}

/** One blob, which is not empty; the mirror may be running. */
export async function damageBlob(world: World, random: Random): Promise<void> {
  const { mirror, damaged, findings, tally, plan } = world;
  const files = (await blobFiles(mirror.dataDir)).filter(({ size }) => size > 0);
  if (files.length === 0) return;
  const { path, digest, size } = random.pick(files);
  const kind = random.pick(['gone', 'short', ...(plan.flipsBits ? (['flipped'] as const) : [])] as const);
  // First the mark: a client may meet the damage at once.
  damaged.set(digest, kind);
  try {
    if (kind === 'gone') await rm(path);
    else if (kind === 'short') await truncate(path, random.below(size));
    else await flipBit(path, random.below(size));
  } catch {
    return; // It was evicted just then.
  }
  findings.acted(`a blob is ${kind}: ${digest}`);
  tally.count('damages', `blob ${kind}`);
}

/** Only while the mirror is not running. */
export async function damageIndex({ mirror, findings, tally }: World, random: Random): Promise<void> {
  const index = join(mirror.dataDir, 'index.sqlite');
  const kind = random.pick(['lost', 'garbage', 'garbage inside']);
  for (const suffix of kind === 'garbage inside' ? [] : ['', '-wal', '-shm']) {
    await rm(index + suffix, { force: true });
  }
  if (kind === 'garbage') await writeFile(index, randomBytes(random.seed, random.between(1, 100_000)));
  if (kind === 'garbage inside') await overwrite(index, random);
  findings.acted(`the index is ${kind}`);
  tally.count('damages', `index ${kind}`);
}

async function overwrite(path: string, random: Random): Promise<void> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  // The first page says that it is a database.
  if (size < 8192) return;
  await using file = await open(path, 'r+');
  await file.write(randomBytes(random.seed, size - 4096), 0, size - 4096, 4096);
}

async function flipBit(path: string, at: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, at);
}
