import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SpoolWriteError } from '../../../src/blobs/spool.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { roomWarnings, StorageHealth, type StorageFault } from '../../../src/repository/storage-health.ts';

const errorWith = (code: string, more: object = {}) =>
  Object.assign(new Error(`the call: ${code}`), { code, ...more });
const FULL = errorWith('ENOSPC', { errno: -28 });
const READ_ONLY = errorWith('EROFS', { errno: -30 });
const MINUTE = 60_000;

function healthAt(start = 0) {
  const clock = { now: start };
  const told: (readonly [string, string | undefined])[] = [];
  const health = new StorageHealth({
    now: () => clock.now,
    onChange: (part, fault?: StorageFault) => void told.push([part, fault?.reason]),
  });
  return { health, clock, told };
}

describe('StorageHealth', () => {
  it('has nothing to say of a disk that works', () => {
    const { health, told } = healthAt();
    health.succeeded('spool');
    expect([health.faults, health.warnings, told]).toEqual([[], [], []]);
  });

  it('knows since when and why a part fails, until the next success of that part', () => {
    const { health, clock } = healthAt(1000);
    health.failed('spool', FULL);
    clock.now = 2000;
    health.failed('spool', FULL);
    health.failed('index', errorWith('SQLITE_IOERR_WRITE'));
    expect(health.faults).toEqual([
      { part: 'spool', since: 1000, code: 'ENOSPC', reason: 'the disk is full', isTold: true },
      { part: 'index', since: 2000, code: 'SQLITE_IOERR_WRITE', reason: 'input/output error', isTold: true },
    ]);
    expect(health.warnings).toEqual([
      'the spool can not be used since 1970-01-01T00:00:01.000Z: the disk is full',
      'the index can not be used since 1970-01-01T00:00:02.000Z: input/output error',
    ]);
    health.succeeded('blobs');
    expect(health.faults).toHaveLength(2);
    health.succeeded('spool');
    expect(health.faults).toMatchObject([{ part: 'index' }]);
    health.succeeded('index');
    expect(health.faults).toEqual([]);
  });

  it('is not silenced by a clock that was set back', () => {
    const { health, clock, told } = healthAt(100 * MINUTE);
    health.failed('spool', FULL);
    health.succeeded('spool');
    clock.now = 0;
    health.failed('spool', FULL);
    expect(told).toEqual([
      ['spool', 'the disk is full'],
      ['spool', undefined],
      ['spool', 'the disk is full'],
    ]);
  });

  it.each([
    ['ENOSPC', 'the disk is full'],
    ['SQLITE_FULL', 'the disk is full'],
    ['EDQUOT', 'the quota of the disk is used up'],
    ['EROFS', 'the file system is read-only'],
    ['SQLITE_READONLY_DBMOVED', 'the file system is read-only'],
    ['EIO', 'input/output error'],
    ['SQLITE_IOERR_READ', 'input/output error'],
    ['SQLITE_CORRUPT', 'the index is corrupt'],
    ['EACCES', 'permission denied'],
  ])('says for %s: %s', (code, reason) => {
    const { health } = healthAt();
    health.failed('blobs', errorWith(code));
    expect(health.faults).toMatchObject([{ code, reason }]);
  });

  it('says of what it has no words for what the system says', () => {
    const { health } = healthAt();
    health.failed('blobs', errorWith('EMFILE', { errno: -24 }));
    expect(health.faults).toMatchObject([{ code: 'EMFILE', reason: 'too many open files' }]);
    health.failed('blobs', new Error('somehow'));
    expect(health.faults).toMatchObject([{ code: undefined, reason: 'somehow' }]);
    health.failed('blobs', new Error('that', { cause: new Error('because of this') }));
    expect(health.faults).toMatchObject([{ reason: 'because of this' }]);
  });

  it('finds the reason below the errors that wrap it', () => {
    const { health } = healthAt();
    const prefix = { length: 0, digest: digestOf(Buffer.alloc(0)) };
    health.failed('spool', new Error('a download failed', { cause: new SpoolWriteError(FULL, prefix) }));
    expect(health.faults).toMatchObject([{ code: 'ENOSPC', reason: 'the disk is full' }]);
  });

  it('tells once of a flood of failures, once of its end, and of another reason after a while', () => {
    const { health, clock, told } = healthAt();
    for (let times = 0; times < 100; times += 1) health.failed('spool', FULL);
    expect(told).toEqual([['spool', 'the disk is full']]);
    health.failed('spool', READ_ONLY);
    expect(health.faults).toMatchObject([{ reason: 'the file system is read-only' }]);
    expect(told).toHaveLength(1);
    clock.now = MINUTE;
    health.failed('spool', READ_ONLY);
    health.failed('spool', READ_ONLY);
    health.succeeded('spool');
    health.succeeded('spool');
    expect(told.slice(1)).toEqual([
      ['spool', 'the file system is read-only'],
      ['spool', undefined],
    ]);
  });

  it('stays quiet about a part that fails and works in turns, and knows its state all the same', () => {
    const { health, clock, told } = healthAt();
    for (let times = 0; times < 100; times += 1) {
      health.failed('spool', FULL);
      expect(health.faults).toHaveLength(1);
      health.succeeded('spool');
      expect(health.faults).toEqual([]);
      clock.now += 500;
    }
    expect(told).toEqual([
      ['spool', 'the disk is full'],
      ['spool', undefined],
    ]);
    // Each part is told of on its own.
    health.failed('index', FULL);
    expect(told).toHaveLength(3);
  });
});

describe('StorageHealth.watch', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('learns from a write how it ended, and gives that on', async () => {
    const { health } = healthAt();
    await expect(health.watch('blobs', Promise.reject(FULL))).rejects.toBe(FULL);
    expect(health.faults).toMatchObject([{ part: 'blobs', code: 'ENOSPC' }]);
    expect(await health.watch('blobs', Promise.resolve('written'))).toBe('written');
    expect(health.faults).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('counts one that does not end as failed, until it does', async () => {
    const { health } = healthAt();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const watched = health.watch('spool', promise);
    vi.advanceTimersByTime(9999);
    expect(health.faults).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(health.faults).toMatchObject([
      { part: 'spool', code: 'SLOW', reason: 'the disk has not answered for 10 seconds' },
    ]);
    resolve(undefined);
    await watched;
    expect(health.faults).toEqual([]);
  });
});

describe('roomWarnings', () => {
  it('warns when others have left the cache less than it has, or nothing at all', () => {
    expect(roomWarnings({ used: 0, limit: 1000 })).toEqual([]);
    expect(roomWarnings({ used: 1000, limit: 1000 })).toEqual([]);
    expect(roomWarnings({ used: 1001, limit: 1000 })).toEqual([
      'the disk has no room for the cache: of the 1001 bytes that it has it may keep 1000',
    ]);
    expect(roomWarnings({ used: 0, limit: 0 })).toHaveLength(1);
  });
});
