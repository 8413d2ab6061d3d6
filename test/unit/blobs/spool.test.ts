import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { ContentMismatchError, Spool, SpoolWriteError, type SpoolFile } from '../../../src/blobs/spool.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector, StalledSink } from '../../support/sinks.ts';
import { tempDir } from '../../support/temp-dir.ts';

const { signal } = new AbortController();
const SIZE = 1_000_000;
const bytes = randomBytes('spool', SIZE);
const digest = digestOf(bytes);

async function withSpool(use: (spool: Spool, directory: string) => Promise<void>): Promise<void> {
  await using directory = await tempDir();
  await use(await Spool.open(directory.path, new BufferPool()), directory.path);
}

/** What is being written, under the test's hand. */
function feed(file: SpoolFile) {
  const source = new PassThrough({ highWaterMark: SIZE });
  const appended = file.append(source, { signal });
  appended.catch(() => undefined);
  const give = async (chunk: Buffer) => {
    const target = file.bytesWritten + chunk.length;
    source.write(chunk);
    await expect.poll(() => file.bytesWritten, { interval: 1 }).toBe(target);
  };
  return { source, appended, give };
}

/** Polls until the sink has that many bytes; then it must stay there. */
async function expectBytes(sink: Collector, count: number): Promise<void> {
  await expect.poll(() => sink.bytes.length, { interval: 1 }).toBe(count);
}

describe('SpoolFile', () => {
  it('shows readers all but the last byte while it is written, and the last when the digest matches', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new Collector();
      const sent = reader.sendTo(sink);
      const { source, appended, give } = feed(file);
      await give(bytes.subarray(0, 1000));
      await expectBytes(sink, 999);
      await give(bytes.subarray(1000));
      source.end();
      await appended;
      await expectBytes(sink, SIZE - 1);

      const verified = await file.verify();
      await sent;
      expect(sink.bytes.equals(bytes)).toBe(true);
      expect((await readFile(verified.path)).equals(bytes)).toBe(true);
      await reader.close();
    }));

  it('ends no range before the digest is known, not even one that lies in front', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new Collector();
      const sent = reader.sendTo(sink, { start: 10, end: 20 });
      const { source, appended, give } = feed(file);
      await give(bytes.subarray(0, 500_000));
      await expectBytes(sink, 9);
      source.end(bytes.subarray(500_000));
      await appended;
      await file.verify();
      await sent;
      expect(sink.bytes.equals(bytes.subarray(10, 20))).toBe(true);
      await reader.close();
    }));

  it('serves readers that come at any time, each from its own offset, and outlives its disposal', () =>
    withSpool(async (spool, directory) => {
      const file = await spool.create(digest, SIZE);
      const { source, appended, give } = feed(file);
      const early = file.open();
      await give(bytes.subarray(0, 300_000));
      const middle = file.open();
      source.end(bytes.subarray(300_000));
      await appended;
      await file.verify();
      const late = file.open();
      await file[Symbol.asyncDispose]();
      for (const [reader, start] of [
        [early, 0],
        [middle, 123_456],
        [late, SIZE - 1],
      ] as const) {
        const sink = new Collector();
        await reader.sendTo(sink, { start, end: SIZE });
        expect(sink.bytes.equals(bytes.subarray(start))).toBe(true);
        await reader.close();
      }
      // verify() gave the file away, and nobody has taken it.
      expect(await readdir(directory)).toHaveLength(1);
    }));

  it('lets a reader that stalls neither stop the writer nor the other readers', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const slow = file.open();
      const stalled = new StalledSink();
      const never = slow.sendTo(stalled);
      never.catch(() => undefined);
      const { source, appended, give } = feed(file);
      await give(bytes.subarray(0, 1000));
      await stalled.stalled.promise;
      source.end(bytes.subarray(1000));
      await appended;
      await file.verify();
      const quick = file.open();
      const sink = new Collector();
      await quick.sendTo(sink);
      expect(sink.bytes.equals(bytes)).toBe(true);
      stalled.destroy();
      await expect(never).rejects.toMatchObject({ name: 'SinkClosedError' });
      await Promise.all([slow.close(), quick.close()]);
    }));

  it('lets a reader go that waits for bytes when its receiver leaves', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new Collector();
      const sent = reader.sendTo(sink);
      const { give } = feed(file);
      await give(bytes.subarray(0, 1000));
      await expectBytes(sink, 999);
      sink.destroy();
      await expect(sent).rejects.toMatchObject({ name: 'SinkClosedError' });
      await reader.close();
    }));

  it('cuts readers off with the cause when it fails, now and later, and leaves no file', () =>
    withSpool(async (spool, directory) => {
      const file = await spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new Collector();
      const sent = reader.sendTo(sink);
      const { source, give } = feed(file);
      await give(bytes.subarray(0, 1000));
      const cause = new Error('upstream went away');
      await expectBytes(sink, 999);
      file.fail(cause);
      await expect(sent).rejects.toMatchObject({ name: 'SpoolFailedError', position: 999, cause });
      await file[Symbol.asyncDispose]();
      await expect(reader.sendTo(new Collector())).rejects.toMatchObject({ cause });
      await reader.close();
      source.destroy();
      expect(await readdir(directory)).toEqual([]);
    }));

  it('refuses bytes with another digest and keeps their last one back', () =>
    withSpool(async (spool) => {
      const wrong = Buffer.from(bytes);
      wrong[0]! ^= 1;
      const file = await spool.create(digest, SIZE);
      const reader = file.open();
      const sink = new Collector();
      const sent = reader.sendTo(sink);
      sent.catch(() => undefined);
      await file.append(Readable.from([wrong]), { signal });
      const mismatch = await file.verify().catch((error: unknown) => error);
      expect(mismatch).toBeInstanceOf(ContentMismatchError);
      expect((mismatch as Error).message).toContain(digest);
      file.fail(mismatch as Error);
      await expect(sent).rejects.toThrow();
      expect(sink.bytes.length).toBeLessThan(SIZE);
      await reader.close();
      await file[Symbol.asyncDispose]();
    }));

  it('refuses more bytes than were announced', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE - 1);
      await expect(file.append(Readable.from([bytes]), { signal })).rejects.toBeInstanceOf(
        ContentMismatchError,
      );
    }));

  it('keeps what came before its source broke, and goes on from there', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const broken = Readable.from(
        (async function* () {
          yield bytes.subarray(0, 400_000);
          await Promise.resolve();
          throw new Error('connection reset');
        })(),
      );
      await expect(file.append(broken, { signal })).rejects.toThrow('connection reset');
      expect(file.bytesWritten).toBe(400_000);
      // Upstream sends all of it again.
      let seen = 0;
      await file.append(Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]), {
        signal,
        skip: 400_000,
        onBytes: (count) => (seen += count),
      });
      expect(seen).toBe(SIZE);
      await file.verify();
    }));

  it.each(['before', 'while'])('ends an append that is aborted %s it runs, and its source with it', (when) =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, SIZE);
      const abort = new AbortController();
      const source = new PassThrough();
      const closed = new Promise((resolve) => source.once('close', resolve));
      if (when === 'before') abort.abort(new Error('enough'));
      const appended = file.append(source, { signal: abort.signal });
      abort.abort(new Error('enough'));
      await expect(appended).rejects.toThrow('enough');
      await closed;
    }),
  );

  it('asks before it grows where the size is not known, and stops when there is no room', () =>
    withSpool(async (spool) => {
      await using file = await spool.create(digest, undefined);
      const admit = (length: number) => Promise.resolve(length <= 500_000);
      const chunks = [bytes.subarray(0, 500_000), bytes.subarray(500_000)];
      await expect(file.append(Readable.from(chunks), { signal, admit })).rejects.toBeInstanceOf(
        SpoolWriteError,
      );
      expect(file.bytesWritten).toBeLessThanOrEqual(500_000);
    }));
});

describe('Spool', () => {
  it('sweeps what an earlier process left, and tells how many bytes are being written', () =>
    withSpool(async (_spool, directory) => {
      await writeFile(join(directory, 'left-over'), 'x');
      const spool = await Spool.open(directory, new BufferPool());
      expect(await readdir(directory)).toEqual([]);
      const file = await spool.create(digest, SIZE);
      await file.append(Readable.from([bytes.subarray(0, 1000)]), { signal });
      expect(spool.bytes).toBe(1000);
      await file[Symbol.asyncDispose]();
      expect(spool.bytes).toBe(0);
    }));
});
