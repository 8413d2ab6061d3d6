import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { RequestRecord } from '../../../src/http/request-record.ts';
import type { Ending } from '../../../src/workers/messages.ts';
import { SharedRecords, type PassedOn } from '../../../src/workers/shared-records.ts';

const PASSED: PassedOn = { id: 'a', worker: 1, client: '192.0.2.1', isRest: false };
const ENDING: Ending = {
  ...{ id: 'a', method: 'GET', status: 200, bytes: 50, isAborted: false, durationMs: 12, firstByteMs: 5 },
  ...{ client: '192.0.2.1', userAgent: 'test' },
};

function recordOf(id: string, more: Partial<RequestRecord> = {}): RequestRecord {
  return {
    ...{
      id,
      method: 'GET',
      route: 'blob',
      source: 'hit',
      bytes: 0,
      status: 200,
      isAborted: true,
      durationMs: 7,
      firstByteMs: 6,
    },
    ...{ client: '192.0.2.1', userAgent: 'test' },
    ...more,
  };
}

let told: RequestRecord[];
let records: SharedRecords;
beforeEach(() => {
  told = [];
  records = new SharedRecords((record) => void told.push(record));
  return () => vi.useRealTimers();
});

describe('SharedRecords', () => {
  it('makes one record of what the keeper and the worker know, whichever of them is over first', () => {
    const { id } = records.begin(PASSED);
    records.answered(recordOf(id));
    expect(told).toEqual([]);
    records.reported(1, ENDING);
    records.begin({ ...PASSED, id: 'b' });
    records.reported(1, { ...ENDING, id: 'b' });
    records.answered(recordOf('b'));
    const measured = { bytes: 50, durationMs: 12, firstByteMs: 5, isAborted: false };
    const expected = { route: 'blob', source: 'hit', ...measured };
    expect(told).toEqual([
      expect.objectContaining({ id: 'a', ...expected }),
      expect.objectContaining({ id: 'b', ...expected }),
    ]);
  });

  it('tells whoever waits when the client has its answer, or when the worker is gone', async () => {
    for (const end of [() => records.reported(1, ENDING), () => records.lost(1)]) {
      records.begin(PASSED);
      const ended = records.ended('a');
      end();
      await ended;
      records.answered(recordOf('a'));
    }
    expect(told).toHaveLength(2);
  });

  it('tells of a request whose worker is gone as of one that was cut off, whenever that is noticed', () => {
    records.begin(PASSED);
    records.answered(recordOf('a', { isAborted: false }));
    records.begin({ ...PASSED, id: 'b' });
    records.lost(1);
    records.answered(recordOf('b'));
    // It was on its way when the worker died.
    records.begin({ ...PASSED, id: 'c' });
    records.answered(recordOf('c'));
    expect(told.map(({ id, isAborted }) => [id, isAborted])).toEqual([
      ['a', true],
      ['b', true],
      ['c', true],
    ]);
  });

  it('tells of no other worker’s requests then', () => {
    records.begin({ ...PASSED, worker: 2 });
    records.answered(recordOf('a'));
    records.lost(1);
    expect(told).toEqual([]);
  });

  it('waits a moment for a request that comes later than the news of its end', () => {
    vi.useFakeTimers();
    records.reported(1, ENDING);
    records.begin(PASSED);
    vi.advanceTimersByTime(10_000);
    expect(told).toEqual([]);
    records.answered(recordOf('a'));
    expect(told).toMatchObject([{ route: 'blob' }]);
  });

  it('tells what the worker knows of a request that never comes', () => {
    vi.useFakeTimers();
    records.reported(1, { ...ENDING, status: 499, isAborted: true });
    vi.advanceTimersByTime(10_000);
    expect(told).toMatchObject([
      { id: 'a', route: 'none', status: 499, isAborted: true, client: '192.0.2.1' },
    ]);
  });

  it('counts what asks for the rest of an answer as no request, and keeps why it failed', () => {
    records.begin(PASSED);
    const rest = records.begin({ ...PASSED, isRest: true });
    const error = new Error('upstream is gone');
    records.answered(recordOf(rest.id, { error, errorCode: 'UNAVAILABLE' }));
    records.reported(1, { ...ENDING, failure: 'Error: the keeper answers 503\n  at there' });
    records.answered(recordOf('a'));
    expect(told).toHaveLength(1);
    expect(told).toMatchObject([{ id: 'a', error, errorCode: 'UNAVAILABLE' }]);
  });

  it('has what went wrong in the worker where nothing went wrong here', () => {
    records.begin(PASSED);
    records.answered(recordOf('a'));
    records.reported(1, { ...ENDING, failure: 'TypeError: no\n  at there' });
    expect(told[0]?.error).toMatchObject({ message: 'TypeError: no', stack: 'TypeError: no\n  at there' });
  });
});
