import { mkdir, open, readdir, readFile, rm, symlink, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { Spool, SpoolWriteError, type SpoolFile } from '../../../src/blobs/spool.ts';
import { WaitingReaders } from '../../../src/blobs/waiting-readers.ts';
import { Outlet } from '../../../src/lib/outlet.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { Collector, StalledSink } from '../../support/sinks.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { append, bytes, digest, killedAfter, MIB, signal, SIZE } from './partials.ts';

const FULL = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

/** A real disk with something else in the place of some calls. */
async function spoolOn(change: (handle: FileHandle) => Partial<FileHandle>) {
  const directory = await tempDir();
  const openFile = async (path: string, flags: string) => {
    const handle = await open(path, flags);
    return Object.assign(handle, change(handle));
  };
  const spool = await Spool.open(directory.path, new BufferPool(), { openFile });
  const dispose = () => directory[Symbol.asyncDispose]();
  return { spool, path: directory.path, openFile, [Symbol.asyncDispose]: dispose };
}

/** A disk that hangs from `position` on, until it is let go on. */
async function hangingSpool(position: number, method: 'write' | 'read' = 'write') {
  const gate = Promise.withResolvers<undefined>();
  const hanging = Promise.withResolvers<undefined>();
  const calls: string[] = [];
  const test = await spoolOn((handle) => {
    const original = handle[method].bind(handle) as (...args: unknown[]) => Promise<unknown>;
    const close = handle.close.bind(handle);
    const call = async (...args: unknown[]) => {
      if ((args.at(-1) as number) < position) return original(...args);
      hanging.resolve(undefined);
      await gate.promise;
      calls.push(method);
      return original(...args);
    };
    return {
      [method]: call,
      close: () => {
        calls.push('close');
        return close();
      },
    };
  });
  // Only what the spool waits for: a busy machine must not look like a disk that hangs.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const dispose = async () => {
    vi.useRealTimers();
    await test[Symbol.asyncDispose]();
  };
  return {
    ...{ ...test, calls, [Symbol.asyncDispose]: dispose },
    proceed: () => gate.resolve(undefined),
    /** Lets the time pass that a write may take, once the disk hangs. */
    hang: async () => {
      await hanging.promise;
      vi.advanceTimersByTime(9999);
      expect(vi.getTimerCount()).toBe(1);
      vi.advanceTimersByTime(1);
    },
  };
}

function follow(file: SpoolFile) {
  const reader = file.open();
  const sink = new Collector();
  const sent = reader.sendTo(sink);
  sent.catch(() => undefined);
  return { reader, sink, sent };
}

describe('A disk that hangs', () => {
  it('fails the download, tells readers when they have what is written, and closes the file last of all', async () => {
    await using test = await hangingSpool(4 * MIB);
    const { spool, calls, path, proceed, hang } = test;
    const file = await spool.create(digest, SIZE);
    const { reader, sink, sent } = follow(file);
    const appended = append(file).catch((cause: unknown) => cause);
    await hang();
    const error = await appended;
    expect(error).toBeInstanceOf(SpoolWriteError);
    const prefix = { length: 4 * MIB, digest: digestOf(bytes.subarray(0, 4 * MIB)) };
    expect(error).toMatchObject({ prefix, cause: { message: 'the disk has not answered for 10000 ms' } });
    await expect(sent).rejects.toMatchObject({
      name: 'SpoolFailedError',
      position: 4 * MIB - 1,
      cause: error,
    });
    expect(sink.bytes.equals(bytes.subarray(0, 4 * MIB - 1))).toBe(true);
    // It may still take the bytes that it was given: no others may go to their place.
    await expect(append(file)).rejects.toBe(error);
    await expect(file.verify()).rejects.toBe(error);

    await reader.close();
    await file[Symbol.asyncDispose]();
    expect(calls).toEqual([]);
    expect(spool.bytes).toBe(4 * MIB);
    proceed();
    await expect.poll(() => calls, { timeout: 10_000 }).toEqual(['write', 'close']);
    await expect.poll(() => readdir(path), { timeout: 10_000 }).toEqual([]);
    expect([spool.bytes, spool.partialBytes]).toEqual([0, 0]);
  });

  it('costs a partial file no more than the bytes that it does not give back', async () => {
    await using test = await hangingSpool(5 * MIB, 'read');
    await killedAfter(9 * MIB, test.path);
    const spool = await Spool.open(test.path, new BufferPool(), { openFile: test.openFile });
    const file = await spool.create(digest, SIZE);
    const restored = file.restore(signal);
    await test.hang();
    await restored;
    expect(file.bytesWritten).toBe(4 * MIB);
    await append(file);
    const verified = await file.verify();
    expect((await readFile(verified.path)).equals(bytes)).toBe(true);
    await file[Symbol.asyncDispose]();
    test.proceed();
    await expect.poll(() => test.calls, { timeout: 10_000 }).toEqual(['read', 'close']);
  });
});

describe('A disk that takes no more', () => {
  it('does not end the file: when there is room again, it goes on where it was', async () => {
    let isFull = false;
    await using test = await spoolOn((handle) => {
      const write = handle.write.bind(handle);
      const writing = (piece: Buffer, offset: number, length: number, position: number) => {
        isFull = !isFull && position === 4 * MIB;
        // As full disks do, it takes something before it refuses.
        if (isFull) return write(piece, offset, 1000, position).then(() => Promise.reject(FULL));
        return write(piece, offset, length, position);
      };
      return { write: writing as FileHandle['write'] };
    });
    await using file = await test.spool.create(digest, SIZE);
    const { reader, sink, sent } = follow(file);
    await expect(append(file)).rejects.toMatchObject({
      name: 'SpoolWriteError',
      cause: FULL,
      prefix: { length: 4 * MIB },
    });
    await append(file);
    await file.verify();
    await sent;
    expect(sink.bytes.equals(bytes)).toBe(true);
    await reader.close();
  });

  it('tells what is there by now, and not what is on its way there', async () => {
    const writing = Promise.withResolvers<undefined>();
    const mayGoOn = Promise.withResolvers<undefined>();
    await using test = await spoolOn((handle) => {
      const write = handle.write.bind(handle);
      const slow = async (piece: Buffer, offset: number, length: number, position: number) => {
        if (position === 4 * MIB) {
          writing.resolve(undefined);
          await mayGoOn.promise;
        }
        return write(piece, offset, length, position);
      };
      return { write: slow as FileHandle['write'] };
    });
    await using file = await test.spool.create(digest, SIZE);
    const appended = append(file);
    await writing.promise;
    expect(file.prefix()).toEqual({ length: 4 * MIB, digest: digestOf(bytes.subarray(0, 4 * MIB)) });
    mayGoOn.resolve(undefined);
    await appended;
    expect(file.prefix()).toEqual({ length: SIZE, digest });
  });

  it('writes what a write has left over', async () => {
    await using test = await spoolOn((handle) => {
      const write = handle.write.bind(handle);
      const short = (piece: Buffer, offset: number, length: number, position: number) =>
        write(piece, offset, Math.min(length, 700_001), position);
      return { write: short as FileHandle['write'] };
    });
    await using file = await test.spool.create(digest, SIZE);
    await file.append(Readable.from([bytes.subarray(0, 10), bytes.subarray(10)]), { signal });
    const verified = await file.verify();
    expect((await readFile(verified.path)).equals(bytes)).toBe(true);
  });

  it('gives a reader that is behind all that was written, but nobody anything of a source that failed', async () => {
    for (const [cause, isGivenAll] of [
      [new SpoolWriteError(FULL, { length: 8 * MIB, digest }), true],
      [new Error('upstream went away'), false],
    ] as const) {
      await using test = await spoolOn(() => ({}));
      await using file = await test.spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new SlowCollector();
      const sent = reader.sendTo(sink);
      await append(file, 0, 8 * MIB);
      await sink.stalled.promise;
      const count = isGivenAll ? 8 * MIB - 1 : sink.count;
      file.fail(cause);
      sink.release();
      await expect(sent).rejects.toMatchObject({ name: 'SpoolFailedError', position: count, cause });
      expect(sink.count).toBe(count);
      await reader.close();
    }
  });

  it('lets readers have a blob that is right and can not be synced, and leaves no file of it', async () => {
    await using test = await spoolOn(() => ({ datasync: () => Promise.reject(new Error('EIO')) }));
    const file = await test.spool.create(digest, SIZE);
    const { reader, sink, sent } = follow(file);
    await append(file);
    const error: unknown = await file.verify().catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(SpoolWriteError);
    expect(error).toMatchObject({ prefix: { length: SIZE, digest }, cause: { message: 'EIO' } });
    file.fail(error as Error);
    await sent;
    expect(sink.bytes.equals(bytes)).toBe(true);
    await reader.close();
    await file[Symbol.asyncDispose]();
    expect(await readdir(test.path)).toEqual([]);
    expect([test.spool.bytes, test.spool.partialBytes]).toEqual([0, 0]);
  });

  it('may refuse checkpoints: the download does not notice, but leaves nothing if it fails', async () => {
    await using test = await spoolOn(() => ({}));
    const refuse = async () => {
      const [data] = await readdir(test.path);
      await symlink(join(test.path, 'nowhere', 'to-be-found'), join(test.path, `${data!}.checkpoints`));
    };
    {
      await using file = await test.spool.create(digest, SIZE);
      await refuse();
      await append(file, 0, 9 * MIB);
    }
    expect(await readdir(test.path)).toEqual([]);
    expect(test.spool.partialBytes).toBe(0);
    await using file = await test.spool.create(digest, SIZE);
    await refuse();
    await append(file);
    const verified = await file.verify();
    expect((await readFile(verified.path)).equals(bytes)).toBe(true);
  });

  it('opens a new file where it can not open the old one', async () => {
    await using test = await spoolOn(() => ({}));
    await killedAfter(9 * MIB, test.path);
    const openFile = (path: string, flags: string) =>
      flags === 'r+' ? Promise.reject(new Error('EIO')) : open(path, flags);
    const spool = await Spool.open(test.path, new BufferPool(), { openFile });
    await using file = await spool.create(digest, SIZE);
    await file.restore(signal);
    expect(file.bytesWritten).toBe(0);
    expect(await readdir(test.path)).toHaveLength(1);
  });

  it('counts a partial file that it does not let go', async () => {
    await using test = await spoolOn(() => ({}));
    const left = await killedAfter(9 * MIB, test.path);
    const spool = await Spool.open(test.path, new BufferPool());
    await rm(left.data);
    await mkdir(left.data);
    await writeFile(join(left.data, 'in-the-way'), 'x');
    await expect(spool.dropPartials(1)).rejects.toThrow();
    expect(spool.partialBytes).toBe(9 * MIB);
  });
});

describe('WaitingReaders', () => {
  it('forgets one whose receiver leaves, and wakes the others', async () => {
    const readers = new WaitingReaders();
    const [stays, leaves] = [new StalledSink(), new StalledSink()];
    using one = new Outlet(stays);
    using other = new Outlet(leaves);
    const waiting = readers.wait(one);
    const left = readers.wait(other);
    expect(readers.count).toBe(2);
    leaves.destroy();
    await expect(left).rejects.toMatchObject({ name: 'SinkClosedError' });
    expect(readers.count).toBe(1);
    readers.wakeAll();
    await waiting;
    expect(readers.count).toBe(0);
  });
});

/** Takes the first chunk only when it is let to, and all others at once. */
class SlowCollector extends StalledSink {
  count = 0;
  #isReleased = false;

  override _write(chunk: Buffer, encoding: BufferEncoding, done: () => void): void {
    this.count += chunk.length;
    if (this.#isReleased) done();
    else super._write(chunk, encoding, done);
  }

  release(): void {
    this.#isReleased = true;
    this.proceed();
  }
}
