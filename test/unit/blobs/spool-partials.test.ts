import {
  appendFile,
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ContentMismatchError, SpoolWriteError, type SpoolFile } from '../../../src/blobs/spool.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { movableClock } from '../../support/clock.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';
import { tempDir } from '../../support/temp-dir.ts';
import * as partials from './partials.ts';

const { append, bodyOf, bytes, checkpointLengths, digest, killedAfter, leavePartial, MIB } = partials;
const { openSpool, signal, SIZE } = partials;

async function flip(path: string, position: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
  buffer[0]! ^= 1;
  await file.write(buffer, 0, 1, position);
}

/** Brings the rest of the blob, and looks at what has become of it. */
async function expectCompleted(file: SpoolFile): Promise<void> {
  await append(file);
  const verified = await file.verify();
  expect((await readFile(verified.path)).equals(bytes)).toBe(true);
}

describe('A blob whose download was killed', () => {
  it('goes on from its last checkpoint, and ends byte for byte right', async () => {
    await using directory = await tempDir();
    const left = await killedAfter(9 * MIB, directory.path);
    const spool = await openSpool(directory.path);
    expect(spool.resumableFrom(digest)).toBe(8 * MIB);
    expect([spool.bytes, spool.partialBytes]).toEqual([0, 9 * MIB]);

    const file = await spool.create(digest, SIZE);
    expect(file.bytesWritten).toBe(0);
    expect([spool.bytes, spool.partialBytes]).toEqual([9 * MIB, 0]);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(8 * MIB);
    expect((await stat(left.data)).size).toBe(8 * MIB);
    expect(spool.bytes).toBe(8 * MIB);
    await expectCompleted(file);
    await file[Symbol.asyncDispose]();
    expect(await readdir(directory.path)).toEqual([basename(left.data)]);
    expect([spool.bytes, spool.partialBytes, spool.resumableFrom(digest)]).toEqual([0, 0, 0]);
  });

  it('goes on with sha512 too, and where upstream had not told its size', async () => {
    await using directory = await tempDir();
    const wanted = digestOf(bytes, 'sha512');
    await killedAfter(9 * MIB, directory.path, { wanted, isSizeKnown: false });
    const spool = await openSpool(directory.path);
    // Nobody knows whether there is more; a byte that is there can always be asked for.
    expect(spool.resumableFrom(wanted)).toBe(8 * MIB - 1);
    await using file = await spool.create(wanted, undefined);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(8 * MIB);
    await append(file, 8 * MIB - 1);
    const verified = await file.verify();
    expect((await readFile(verified.path)).equals(bytes)).toBe(true);
  });

  it('takes no checkpoint that was not written to its end, and writes on after the one before it', async () => {
    await using directory = await tempDir();
    const left = await killedAfter(9 * MIB, directory.path);
    await truncate(left.checkpoints, (await stat(left.checkpoints)).size - 1);
    const spool = await openSpool(directory.path);
    expect(spool.resumableFrom(digest)).toBe(4 * MIB);
    {
      await using file = await spool.create(digest, SIZE);
      await file.restore(signal);
      expect(file.bytesWritten).toBe(4 * MIB);
      await append(file, 4 * MIB, 9 * MIB);
    }
    {
      await using file = await spool.create(digest, SIZE);
      await file.restore(signal);
    }
    expect(await checkpointLengths(directory.path)).toEqual([4 * MIB, 8 * MIB, 9 * MIB]);
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(9 * MIB);
    await expectCompleted(file);
  });

  it.each([
    ['before the first checkpoint', 3 * MIB, 0],
    ['between two', 6 * MIB, 4 * MIB],
    ['as the last that a checkpoint has', 8 * MIB - 1, 4 * MIB],
    ['after the last', 8.5 * MIB, 8 * MIB],
  ])('keeps nothing from a flipped byte on that lies %s', async (_where, position, proven) => {
    await using directory = await tempDir();
    const { data } = await killedAfter(9 * MIB, directory.path);
    await flip(data, position);
    const spool = await openSpool(directory.path);
    expect(spool.resumableFrom(digest)).toBe(8 * MIB);
    {
      await using file = await spool.create(digest, SIZE);
      await file.restore(signal);
      expect(file.bytesWritten).toBe(proven);
      expect((await stat(data)).size).toBe(proven);
      const kept = [4 * MIB, 8 * MIB].filter((length) => length <= proven);
      expect(await checkpointLengths(directory.path)).toEqual(kept);
      await append(file, proven, 9 * MIB);
    }
    // What vouched for the flipped byte is forgotten: all that has come since is found right.
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(9 * MIB);
    await expectCompleted(file);
  });

  it.each([
    [6 * MIB, 4 * MIB],
    [4 * MIB, 4 * MIB],
    [4 * MIB - 1, 0],
  ])('has what a file holds that was truncated to %i bytes', async (length, resumableFrom) => {
    await using directory = await tempDir();
    const { data } = await killedAfter(9 * MIB, directory.path);
    await truncate(data, length);
    const spool = await openSpool(directory.path);
    expect(spool.resumableFrom(digest)).toBe(resumableFrom);
    if (resumableFrom === 0) expect(await readdir(directory.path)).toEqual([]);
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(resumableFrom);
    await expectCompleted(file);
  });

  it('stops at a file that got shorter since the spool was opened, or has lost its checkpoints', async () => {
    for (const [harm, proven] of [
      [(left: partials.Left) => truncate(left.data, 5 * MIB), 4 * MIB],
      [(left: partials.Left) => rm(left.checkpoints), 0],
    ] as const) {
      await using directory = await tempDir();
      const left = await killedAfter(9 * MIB, directory.path);
      const spool = await openSpool(directory.path);
      await harm(left);
      await using file = await spool.create(digest, SIZE);
      await file.restore(signal);
      expect(file.bytesWritten).toBe(proven);
      await expectCompleted(file);
    }
  });

  it('keeps what was proven before the disk could not be read, and drops the rest', async () => {
    await using directory = await tempDir();
    await killedAfter(9 * MIB, directory.path);
    const spool = await openSpool(directory.path, {
      openFile: async (path, flags) => {
        const handle = await open(path, flags);
        const read = handle.read.bind(handle) as (...args: unknown[]) => Promise<unknown>;
        const failing = (...args: unknown[]) =>
          (args[3] as number) < 5 * MIB ? read(...args) : Promise.reject(new Error('EIO'));
        return Object.assign(handle, { read: failing });
      },
    });
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(4 * MIB);
    await expectCompleted(file);
  });

  it.each([
    ['another size', true, SIZE + 1],
    ['no size any more', true, undefined],
    ['a size where there was none', false, SIZE],
  ])('begins anew where upstream announces %s', async (_what, isSizeKnown, size) => {
    await using directory = await tempDir();
    const left = await killedAfter(9 * MIB, directory.path, { isSizeKnown });
    const spool = await openSpool(directory.path);
    await using file = await spool.create(digest, size);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(0);
    const names = await readdir(directory.path);
    expect(names).toHaveLength(1);
    expect(names).not.toContain(basename(left.data));
  });

  it('asks for the last byte at least where all are there, and needs none of them', async () => {
    await using directory = await tempDir();
    {
      const spool = await openSpool(directory.path);
      await using file = await spool.create(digest, SIZE);
      await append(file);
    }
    const spool = await openSpool(directory.path);
    expect(spool.resumableFrom(digest)).toBe(SIZE - 1);
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(SIZE);
    await append(file, SIZE - 1);
    const verified = await file.verify();
    expect((await readFile(verified.path)).equals(bytes)).toBe(true);
  });
});

describe('Spool.open', () => {
  it('keeps the best file of each blob and removes all else', async () => {
    await using directory = await tempDir();
    await using other = await tempDir();
    const best = await killedAfter(9 * MIB, directory.path);
    const worse = await killedAfter(5 * MIB, other.path);
    await cp(other.path, directory.path, { recursive: true });
    const name = (from: string) => join(directory.path, from);
    await writeFile(name('left-over'), 'x');
    await mkdir(name('folder'));
    await writeFile(name('folder/file'), 'x');
    const [data, checkpoints] = [basename(worse.data), basename(worse.checkpoints)];
    // Without checkpoints, with an unknown version of them, without data, with a name that is no digest.
    await cp(worse.data, name(data.replace(/.$/, 'a')));
    await cp(worse.data, name(data.replace(/..$/, 'bb')));
    await writeFile(name(checkpoints.replace(/..(\.\w+)$/, 'bb$1')), 'entrepot-partial 2 -\n');
    await cp(worse.checkpoints, name(checkpoints.replace(/.(\.\w+)$/, 'c$1')));
    await cp(worse.data, name(data.replace('sha256', 'sha384')));
    await cp(worse.checkpoints, name(checkpoints.replace('sha256', 'sha384')));

    const spool = await openSpool(directory.path);
    const kept = [basename(best.data), basename(best.checkpoints)];
    expect((await readdir(directory.path)).sort()).toEqual(kept.sort());
    expect(spool.resumableFrom(digest)).toBe(8 * MIB);
  });

  it('passes over checkpoints that make no sense, and those after them', async () => {
    for (const line of ['garbage', '0 0', `1000 ${digest}`, `5242880 ${'0'.repeat(64)}`]) {
      await using directory = await tempDir();
      const left = await killedAfter(5 * MIB, directory.path);
      await appendFile(left.checkpoints, `${line}\n${5 * MIB} ${digestOf(bytes.subarray(0, 5 * MIB))}\n`);
      const spool = await openSpool(directory.path);
      expect(spool.resumableFrom(digest)).toBe(4 * MIB);
    }
  });
});

describe('SpoolFile.restore', () => {
  it('lets readers follow what is proven, and no further', async () => {
    await using directory = await tempDir();
    const { data } = await killedAfter(9 * MIB, directory.path);
    await flip(data, 6 * MIB);
    const spool = await openSpool(directory.path);
    await using file = await spool.create(digest, SIZE);
    const reader = file.open();
    const sink = new Collector();
    const sent = reader.sendTo(sink);
    expect(sink.bytes.length).toBe(0);
    await file.restore(signal);
    await expect.poll(() => sink.bytes.length, { timeout: 10_000 }).toBe(4 * MIB - 1);
    await append(file);
    await expect.poll(() => sink.bytes.length, { timeout: 10_000 }).toBe(SIZE - 1);
    await file.verify();
    await sent;
    expect(sink.bytes.equals(bytes)).toBe(true);
    await reader.close();
  });

  it('ends when it is aborted, loses nothing, and goes on when it is asked to', async () => {
    await using directory = await tempDir();
    await leavePartial(await openSpool(directory.path), bytes, 9 * MIB);
    const { data } = await partials.filesIn(directory.path);
    let abort = new AbortController();
    const spool = await openSpool(directory.path, {
      openFile: async (path, flags) => {
        const handle = await open(path, flags);
        const read = handle.read.bind(handle) as (...args: unknown[]) => Promise<unknown>;
        const aborting = (...args: unknown[]) => {
          if (args[3] === 8.5 * MIB) abort.abort(new Error('enough'));
          return read(...args);
        };
        return Object.assign(handle, { read: aborting });
      },
    });
    {
      await using file = await spool.create(digest, SIZE);
      await expect(file.restore(abort.signal)).rejects.toThrow('enough');
      expect(file.bytesWritten).toBe(8 * MIB);
      await expect(append(file)).rejects.toThrow('restored');
    }
    expect([spool.bytes, spool.partialBytes, spool.resumableFrom(digest)]).toEqual([0, 9 * MIB, 9 * MIB]);
    expect((await stat(data)).size).toBe(9 * MIB);

    abort = new AbortController();
    await using file = await spool.create(digest, SIZE);
    await expect(file.restore(abort.signal)).rejects.toThrow('enough');
    await file.restore(signal);
    expect(file.bytesWritten).toBe(9 * MIB);
    await expectCompleted(file);
  });
});

describe('A spool file that is disposed', () => {
  it.each([
    ['failed', new Error('upstream went away'), 1.5 * MIB, true],
    ['failed early', new Error('upstream went away'), MIB - 1, false],
    ['had wrong bytes', new ContentMismatchError('wrong'), 9 * MIB, false],
    [
      'was not taken by the disk',
      new SpoolWriteError(new Error('EIO'), { length: 0, digest }),
      9 * MIB,
      false,
    ],
  ])('stays for the next download if it %s and is worth it', async (_what, cause, length, isKept) => {
    await using directory = await tempDir();
    const spool = await openSpool(directory.path);
    {
      await using file = await spool.create(digest, SIZE);
      await append(file, 0, length);
      file.fail(cause);
    }
    expect(spool.bytes).toBe(0);
    expect(spool.partialBytes).toBe(isKept ? length : 0);
    expect(await readdir(directory.path)).toHaveLength(isKept ? 2 : 0);
    for (const opened of [spool, await openSpool(directory.path)]) {
      expect(opened.resumableFrom(digest)).toBe(isKept ? length : 0);
    }
  });

  it('leaves nothing of a lie that was found out by its digest or its length', async () => {
    await using directory = await tempDir();
    const spool = await openSpool(directory.path);
    const wrong = Buffer.from(bytes);
    wrong[0]! ^= 1;
    {
      await using file = await spool.create(digest, SIZE);
      await file.append(bodyOf(wrong), { signal });
      await expect(file.verify()).rejects.toBeInstanceOf(ContentMismatchError);
    }
    {
      await using file = await spool.create(digest, 9 * MIB);
      await expect(append(file, 0)).rejects.toBeInstanceOf(ContentMismatchError);
    }
    expect(await readdir(directory.path)).toEqual([]);
    expect(spool.partialBytes).toBe(0);
  });

  it('is not shared by two: the second begins anew, and the better stays', async () => {
    await using directory = await tempDir();
    const spool = await openSpool(directory.path);
    await leavePartial(spool, bytes, 6 * MIB);
    const first = await spool.create(digest, SIZE);
    const second = await spool.create(digest, SIZE);
    await Promise.all([first.restore(signal), second.restore(signal)]);
    expect([first.bytesWritten, second.bytesWritten]).toEqual([6 * MIB, 0]);
    await append(second, 0, 7 * MIB);
    await first[Symbol.asyncDispose]();
    expect(spool.resumableFrom(digest)).toBe(6 * MIB);
    await second[Symbol.asyncDispose]();
    expect([spool.resumableFrom(digest), spool.partialBytes]).toEqual([7 * MIB, 7 * MIB]);
    expect(await readdir(directory.path)).toHaveLength(2);

    const third = await spool.create(digest, SIZE);
    const fourth = await spool.create(digest, SIZE);
    await append(fourth, 0, 2 * MIB);
    await third[Symbol.asyncDispose]();
    await fourth[Symbol.asyncDispose]();
    expect(spool.resumableFrom(digest)).toBe(7 * MIB);
    expect(await readdir(directory.path)).toHaveLength(2);
  });

  it('refuses a source that begins after its end', async () => {
    await using directory = await tempDir();
    await using file = await (await openSpool(directory.path)).create(digest, SIZE);
    const source = Readable.from([bytes.subarray(0, 10)]);
    await expect(file.append(source, { signal, skip: -1 })).rejects.toBeInstanceOf(RangeError);
    expect(source.destroyed).toBe(true);
    expect(file.bytesWritten).toBe(0);
  });
});

describe('Partial files', () => {
  const blobs = ['one', 'two', 'three'].map((seed) => randomBytes(seed, 2 * MIB));
  const [one, two, three] = blobs.map((blob) => digestOf(blob)) as [
    typeof digest,
    typeof digest,
    typeof digest,
  ];

  async function withThree() {
    const directory = await tempDir();
    const clock = movableClock();
    const spool = await openSpool(directory.path, { now: clock.now });
    for (const [index, blob] of blobs.entries()) {
      await leavePartial(spool, blob, MIB + index);
      clock.pass(1000);
    }
    // Tried again since, in vain.
    await (await spool.create(one, 2 * MIB))[Symbol.asyncDispose]();
    const has = () => [one, two, three].map((each) => spool.resumableFrom(each) > 0);
    return {
      ...{ spool, clock, has },
      path: directory.path,
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  }

  it('are dropped until enough bytes are free, those used least recently first', async () => {
    await using test = await withThree();
    const { spool, has } = test;
    expect(await spool.dropPartials(0)).toBe(0);
    expect(await spool.dropPartials(1)).toBe(MIB + 1);
    expect(has()).toEqual([true, false, true]);
    expect(await spool.dropPartials(MIB + 2)).toBe(MIB + 2);
    expect(has()).toEqual([true, false, false]);
    expect(await spool.dropPartials(Infinity)).toBe(MIB);
    expect(spool.partialBytes).toBe(0);
    expect(await readdir(test.path)).toEqual([]);
    expect(await spool.dropPartials(1)).toBe(0);
  });

  it('expire when nobody has used them for long', async () => {
    await using test = await withThree();
    const { spool, clock, has } = test;
    expect(await spool.expirePartials(2000)).toBe(0);
    clock.pass(1);
    expect(await spool.expirePartials(2000)).toBe(MIB + 1);
    expect(has()).toEqual([true, false, true]);
    clock.pass(10_000);
    expect(await spool.expirePartials(2000)).toBe(2 * MIB + 2);
    expect(await readdir(test.path)).toEqual([]);
  });

  it('are as old after a restart as their files are', async () => {
    await using test = await withThree();
    const { path, clock } = test;
    const files = (await readdir(path)).filter((name) => !name.includes('.'));
    const oldest = files.find((name) => name.includes(three.slice('sha256:'.length)))!;
    await using handle = await open(join(path, oldest), 'r+');
    await handle.utimes(new Date(clock.now() - 60_000), new Date(clock.now() - 60_000));
    const spool = await openSpool(path, { now: clock.now });
    expect(await spool.expirePartials(59_000)).toBe(MIB + 2);
    expect(spool.resumableFrom(three)).toBe(0);
    expect(spool.partialBytes).toBe(2 * MIB + 1);
  });

  it('are forgotten one by one, and those in use are not dropped', async () => {
    await using test = await withThree();
    const { spool, has } = test;
    await spool.discard(two);
    await spool.discard(two);
    expect(has()).toEqual([true, false, true]);
    await using file = await spool.create(three, 2 * MIB);
    expect(await spool.dropPartials(Infinity)).toBe(MIB);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(MIB + 2);
  });
});
