import { describe, expect, it } from 'vitest';
import { parseLine } from '../../../bench/upstream/registry.ts';

const PREFIX = '127.0.0.1 - - [22/Nov/2026:21:49:26 +0000]';

describe('parseLine', () => {
  it('reads what was asked for and how many bytes were sent', () => {
    const line = `${PREFIX} "GET /v2/bench/cold/blobs/sha256:ab HTTP/1.1" 200 8388608 "" "bench"`;
    expect(parseLine(line)).toEqual([{ path: '/v2/bench/cold/blobs/sha256:ab', bytes: 8_388_608 }]);
  });

  it('keeps the query, by which requests of the benchmark itself are told apart', () => {
    expect(parseLine(`${PREFIX} "GET /v2/?fence=3 HTTP/1.1" 200 2 "" ""`)).toEqual([
      { path: '/v2/?fence=3', bytes: 2 },
    ]);
  });

  it('takes no part in what else the program says', () => {
    expect(parseLine('time="2026-11-22T21:49:26Z" level=warning msg="No HTTP secret provided"')).toEqual([]);
    expect(parseLine('')).toEqual([]);
  });
});
