import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobReadError, type BlobContent } from '../../../src/blobs/blob-store.ts';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { DiskBlobStore } from '../../../src/blobs/disk-blob-store.ts';
import { HotBlobStore } from '../../../src/blobs/hot-blob-store.ts';
import { Scrub, type CorruptBlob, type ScrubOptions } from '../../../src/jobs/scrub.ts';
import { ByteRate } from '../../../src/lib/byte-rate.ts';
import {
  openSqliteMetadataStore,
  type OpenedMetadataStore,
} from '../../../src/metadata/sqlite-metadata-store.ts';
import { digestOf, hexOf, type Digest } from '../../../src/oci/digest.ts';
import { movableClock } from '../../support/clock.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';
import { repositoryKey } from '../metadata/content.ts';

const ALPINE = repositoryKey('library/alpine');
const DAY = 86_400_000;
const running = new AbortController().signal;

let directory: TempDir;
let index: OpenedMetadataStore;
let files: DiskBlobStore;
let clock: ReturnType<typeof movableClock>;
let findings: CorruptBlob[];
let spent: number;
/** Called with each wait for the rate. */
let onSpend: () => void | Promise<void>;

beforeEach(async () => {
  directory = await tempDir();
  index = openSqliteMetadataStore({ path: join(directory.path, 'index.sqlite') });
  files = await DiskBlobStore.open(join(directory.path, 'blobs'), new BufferPool());
  clock = movableClock();
  findings = [];
  spent = 0;
  onSpend = () => undefined;
});

afterEach(async () => {
  await index.store.close();
  await directory[Symbol.asyncDispose]();
});

function scrub(options: Partial<ScrubOptions> = {}): Scrub {
  return new Scrub({
    metadata: index.store,
    states: index.scrubStates,
    files,
    blobs: files,
    intervalMs: 7 * DAY,
    rate: {
      spend: async (bytes) => {
        spent += bytes;
        await onSpend();
      },
    },
    now: clock.now,
    onCorrupt: (blob) => void findings.push(blob),
    onCompleted: () => undefined,
    ...options,
  });
}

function pathOf(digest: Digest): string {
  const hex = hexOf(digest);
  return join(directory.path, 'blobs', 'v1', 'sha256', hex.slice(0, 2), hex);
}

/** Puts it where it belongs, row and file. */
async function store(seed: string, size = 1000): Promise<Digest> {
  const bytes = randomBytes(seed, size);
  const digest = digestOf(bytes);
  await mkdir(dirname(pathOf(digest)), { recursive: true });
  await writeFile(pathOf(digest), bytes);
  await index.store.linkBlob(ALPINE, { digest, size });
  return digest;
}

/** In the order in which they are looked at. */
async function storeMany(count: number, size?: number): Promise<Digest[]> {
  const digests = await Promise.all(Array.from({ length: count }, (_, n) => store(`blob ${n}`, size)));
  return digests.sort();
}

async function flipByte(digest: Digest, size = 1000): Promise<void> {
  const bytes = Buffer.alloc(size, 'x');
  await writeFile(pathOf(digest), bytes);
}

async function isKept(digest: Digest) {
  const row = await index.store.findBlob(ALPINE, digest);
  return { row: row !== undefined, file: (await files.stat(digest)) !== undefined };
}

const KEPT = { row: true, file: true };
const GONE = { row: false, file: false };

describe('a scrub', () => {
  it('reads all there is, once, and leaves what is right', async () => {
    const digests = await storeMany(5);
    const job = scrub();
    await job.run(running);
    expect(findings).toEqual([]);
    for (const digest of digests) expect(await isKept(digest)).toEqual(KEPT);
    expect(await job.progress()).toEqual({
      isRunning: false,
      scannedBlobs: 5,
      scannedBytes: 5000,
      corruptBlobs: 0,
      lastCompletedAt: clock.now(),
    });
  });

  it('forgets a blob of which a byte is another, and no other', async () => {
    const [good, bad] = await Promise.all([store('good'), store('bad')]);
    await flipByte(bad);
    const job = scrub();
    await job.run(running);
    const actual = digestOf(Buffer.alloc(1000, 'x'));
    expect(findings).toEqual([{ digest: bad, size: 1000, kind: 'digest', actual }]);
    expect(await isKept(bad)).toEqual(GONE);
    expect(await isKept(good)).toEqual(KEPT);
    expect(await job.progress()).toMatchObject({ scannedBlobs: 2, corruptBlobs: 1 });
  });

  it('forgets one that was cut short without reading it, and one that is gone', async () => {
    const [short, gone] = await Promise.all([store('short'), store('gone')]);
    await truncate(pathOf(short), 999);
    await rm(pathOf(gone));
    const job = scrub();
    await job.run(running);
    expect(findings.sort((a, b) => (a.kind < b.kind ? -1 : 1))).toEqual([
      { digest: gone, size: 1000, kind: 'missing' },
      { digest: short, size: 1000, kind: 'size', actual: 999 },
    ]);
    expect(await isKept(short)).toEqual(GONE);
    expect(await isKept(gone)).toEqual(GONE);
    expect(await job.progress()).toMatchObject({ scannedBytes: 0, corruptBlobs: 2 });
  });

  it('forgets one that the disk can not read', async () => {
    const digest = await store('unreadable');
    const cause = new BlobReadError(500, { cause: new Error('EIO') });
    await scrub({
      files: { open: () => Promise.resolve({ ...contentOf(1000), sendTo: () => Promise.reject(cause) }) },
    }).run(running);
    expect(findings).toEqual([{ digest, size: 1000, kind: 'unreadable', cause }]);
    expect(await isKept(digest)).toEqual(GONE);
  });

  it('looks past what is held in memory, and takes a corrupt one out of it', async () => {
    const digest = await store('hot');
    const hot = new HotBlobStore(files, 100_000);
    const read = async () => {
      const content = await hot.open(digest);
      const sink = new Collector();
      await content?.sendTo(sink);
      await content?.close();
      return content && digestOf(sink.bytes);
    };
    expect(await read()).toBe(digest);
    await flipByte(digest);
    expect(await read()).toBe(digest);
    await scrub({ blobs: hot }).run(running);
    expect(findings).toHaveLength(1);
    expect(await read()).toBeUndefined();
  });

  it('does not take for corrupt what is evicted while it is read', async () => {
    const digest = await store('evicted');
    await flipByte(digest);
    onSpend = async () => {
      await index.store.evict({ kind: 'blob', digest });
      await files.delete(digest);
    };
    const job = scrub();
    await job.run(running);
    expect(findings).toEqual([]);
    expect(await job.progress()).toMatchObject({ corruptBlobs: 0 });
  });

  it('forgets one that is being read; its reader goes on', async () => {
    const digest = await store('read', 600_000);
    await flipByte(digest, 600_000);
    const content = await files.open(digest);
    await scrub().run(running);
    expect(await isKept(digest)).toEqual(GONE);
    const sink = new Collector();
    await content?.sendTo(sink);
    await content?.close();
    expect(sink.bytes).toHaveLength(600_000);
  });

  it('keeps a row for what a download brings again while it is forgotten', async () => {
    const digest = await store('again');
    await flipByte(digest);
    const bring = async () => writeFile(pathOf(digest), randomBytes('again', 1000));
    await scrub({
      blobs: {
        delete: async (wanted) => {
          const wasThere = await files.delete(wanted);
          await bring();
          return wasThere;
        },
        stat: (wanted) => files.stat(wanted),
      },
    }).run(running);
    expect(findings).toHaveLength(1);
    expect(await index.store.totals()).toMatchObject({ blobs: 1, blobBytes: 1000 });
  });

  it('goes on behind a blob that can not be opened, when it is run again', async () => {
    const [first, second] = (await storeMany(3)) as [Digest, Digest];
    const opened: Digest[] = [];
    const failing: ScrubOptions['files'] = {
      open: (digest) => {
        opened.push(digest);
        return digest === second ? Promise.reject(new Error('EMFILE')) : files.open(digest);
      },
    };
    const job = scrub({ files: failing });
    await expect(job.run(running)).rejects.toThrow('EMFILE');
    expect(opened).toEqual([first, second]);
    await job.run(running);
    expect(opened).toHaveLength(3);
    expect(findings).toEqual([]);
    expect(await job.progress()).toMatchObject({ scannedBlobs: 3, lastCompletedAt: clock.now() });
  });
});

describe('when a scrub walks', () => {
  const walks = async (job: Scrub) => {
    spent = 0;
    await job.run(running);
    return spent > 0;
  };

  it('is at once the first time, and then an interval after the last one began', async () => {
    await storeMany(1);
    const job = scrub();
    onSpend = () => clock.pass(DAY / 2);
    expect(await walks(job)).toBe(true);
    onSpend = () => undefined;
    clock.pass(6 * DAY - 1);
    expect(await walks(job)).toBe(false);
    clock.pass(1);
    expect(await walks(job)).toBe(true);
    expect(await walks(job)).toBe(false);
  });

  it('is known to the next process', async () => {
    await storeMany(1);
    await scrub().run(running);
    clock.pass(7 * DAY - 1);
    expect(await walks(scrub())).toBe(false);
    clock.pass(1);
    expect(await walks(scrub())).toBe(true);
  });

  it('is at once on request, but not twice', async () => {
    await storeMany(1);
    const job = scrub();
    expect(await walks(job)).toBe(true);
    job.request();
    expect(await walks(job)).toBe(true);
    expect(await walks(job)).toBe(false);
    // A request while it walks is met by that walk.
    clock.pass(7 * DAY);
    onSpend = () => job.request();
    expect(await walks(job)).toBe(true);
    expect(await walks(job)).toBe(false);
  });

  it('does not go on by itself when it was given up, and begins anew when it is due', async () => {
    await storeMany(4);
    const abort = new AbortController();
    let visits = 0;
    onSpend = () => {
      if ((visits += 1) === 5) abort.abort(new Error('called off'));
    };
    const job = scrub();
    await expect(job.run(abort.signal)).rejects.toThrow();
    await job.giveUp();
    const { scannedBlobs, lastCompletedAt } = await job.progress();
    expect(scannedBlobs).toBeLessThan(4);
    expect(lastCompletedAt).toBeUndefined();
    await job.run(running);
    expect((await job.progress()).scannedBlobs).toBe(scannedBlobs);
    clock.pass(7 * DAY);
    await job.run(running);
    expect(await job.progress()).toMatchObject({ scannedBlobs: 4, lastCompletedAt: clock.now() });
  });

  it('is at once where the clock was set back', async () => {
    await storeMany(1);
    const job = scrub();
    expect(await walks(job)).toBe(true);
    clock.pass(-1000);
    expect(await walks(job)).toBe(true);
  });
});

describe('a scrub that is cut short', () => {
  it('ends in the middle of a blob, and leaves nothing open', async () => {
    const digest = await store('large', 2_000_000);
    const abort = new AbortController();
    let reads = 0;
    let isClosed = false;
    const closing: ScrubOptions['files'] = {
      open: async (wanted) => {
        const content = (await files.open(wanted))!;
        const close = async () => {
          isClosed = true;
          await content.close();
        };
        return { ...sending(content), close };
      },
    };
    const rate = {
      // The first is for opening it.
      spend: () =>
        (reads += 1) === 4 ? new Promise<void>(() => abort.abort(new Error('stopping'))) : setImmediate(),
    };
    const run = scrub({ files: closing, rate }).run(abort.signal);
    await expect(run).rejects.toThrow();
    expect({ reads, isClosed }).toEqual({ reads: 4, isClosed: true });
    expect(findings).toEqual([]);
    expect(await isKept(digest)).toEqual(KEPT);
  });

  it('goes on where it was in the next process, and counts on', async () => {
    const digests = await storeMany(6);
    const opened: Digest[] = [];
    const watched: ScrubOptions['files'] = {
      open: (digest) => {
        opened.push(digest);
        return files.open(digest);
      },
    };
    const began = clock.now();
    const abort = new AbortController();
    onSpend = () => {
      if (opened.length === 3) abort.abort();
    };
    await expect(scrub({ files: watched }).run(abort.signal)).rejects.toThrow();
    expect(opened).toEqual(digests.slice(0, 3));
    onSpend = () => undefined;

    clock.pass(1000);
    const next = scrub({ files: watched });
    expect(await next.progress()).toMatchObject({
      isRunning: false,
      scannedBlobs: 2,
      lastCompletedAt: undefined,
    });
    await next.run(running);
    expect(opened).toEqual([...digests.slice(0, 3), ...digests.slice(2)]);
    expect(await next.progress()).toMatchObject({ scannedBlobs: 6, scannedBytes: 6000 });
    expect(await index.scrubStates.find()).toMatchObject({ beganAt: began, lastCompletedAt: began + 1000 });
  });

  it('by a kill has lost no more than a few seconds', async () => {
    const digests = await storeMany(10);
    let seen: Digest | undefined;
    let blobs = 0;
    onSpend = async () => {
      blobs += 0.5;
      clock.pass(1000);
      if (blobs === 9.5) seen = (await index.scrubStates.find())?.cursor;
    };
    await scrub().run(running);
    expect(digests.slice(5, 9)).toContain(seen);
  });

  it('tells how far it is while it runs', async () => {
    await storeMany(4);
    const job = scrub();
    const seen: unknown[] = [];
    onSpend = async () => void seen.push(await job.progress());
    await job.run(running);
    expect(seen.at(-1)).toMatchObject({ isRunning: true, scannedBlobs: 3, scannedBytes: 3000 });
    expect(await job.progress()).toMatchObject({ isRunning: false, scannedBlobs: 4 });
  });
});

describe('the rate of a scrub', () => {
  it.each([
    ['large blobs', 4, 1_000_000],
    ['many small ones', 100, 10],
  ])('is kept over %s, opening them included', async (_title, count, size) => {
    await storeMany(count, size);
    let time = 0;
    const rate = new ByteRate({
      bytesPerSecond: 100_000,
      clock: () => time,
      pause: (ms) => {
        time += ms;
        return Promise.resolve();
      },
    });
    const job = scrub({ rate });
    await job.run(running);
    expect((await job.progress()).scannedBytes).toBe(count * size);
    expect(time).toBeGreaterThanOrEqual((count * size) / 100 - 110);
    expect(time).toBeGreaterThan(count * 100);
  });

  it('is kept in pieces that the event loop does not feel', async () => {
    await store('large', 3_000_000);
    let largest = 0;
    await scrub({
      rate: {
        spend: (bytes) => {
          largest = Math.max(largest, bytes);
          return Promise.resolve();
        },
      },
    }).run(running);
    expect(largest).toBeLessThanOrEqual(512 * 1024);
  });
});

function contentOf(size: number): BlobContent {
  return { size, sendTo: () => Promise.resolve(), close: () => Promise.resolve() };
}

function sending(content: BlobContent) {
  const sendTo = (sink: Writable) => content.sendTo(sink);
  return { size: content.size, sendTo };
}
