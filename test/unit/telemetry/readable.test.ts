import { describe, expect, it } from 'vitest';
import { readableLine } from '../../../src/telemetry/readable.ts';

const REQUEST = {
  level: 'info',
  time: '2026-01-01T00:00:00.000Z',
  requestId: 'b7d1',
  method: 'GET',
  route: 'manifest',
  repository: 'library/alpine',
  reference: '3',
  status: 200,
  source: 'hit',
  bytes: 2048,
  durationMs: 1.3,
  client: '10.0.0.5',
  userAgent: 'docker/27.1',
  msg: 'GET library/alpine 3 200 hit',
};

describe('a line of the log for people', () => {
  it('says of a request what was asked, how it went, how much that was, and who asked', () => {
    expect(readableLine(REQUEST)).toBe('GET library/alpine 3 200 hit  2 KiB  1.3 ms  10.0.0.5  docker/27.1');
  });

  it('names a request that failed as its client was told it', () => {
    const msg = 'GET library/alpine 3 404';
    expect(readableLine({ ...REQUEST, status: 404, msg })).toBe(
      'GET library/alpine 3 404  2 KiB  1.3 ms  10.0.0.5  docker/27.1  requestId=b7d1',
    );
  });

  it('takes what upstream was asked for no request of a client', () => {
    const asked = { kind: 'manifest', method: 'HEAD', host: 'r.test', status: 200, durationMs: 12 };
    expect(readableLine({ level: 'debug', msg: 'upstream HEAD manifest 200', ...asked })).toBe(
      'upstream HEAD manifest 200  kind=manifest  method=HEAD  host=r.test  status=200  durationMs=12',
    );
  });

  it('says why, down to the first cause, each thing once', () => {
    const err = {
      message: 'the manifest can not be had',
      cause: { message: 'no answer', cause: { message: 'no answer' } },
    };
    expect(readableLine({ level: 'warn', msg: 'GET a 503', err })).toBe(
      'GET a 503: the manifest can not be had: no answer',
    );
  });

  it('has all else that was given, nested things too', () => {
    expect(readableLine({ level: 'info', msg: 'listening', dataDir: '/data', cache: { memory: 1 } })).toBe(
      'listening  dataDir=/data  cache={"memory":1}',
    );
  });

  it('shows where it broke of what should not have happened, and of nothing else', () => {
    const err = { message: 'x', stack: 'Error: x\n    at y' };
    expect(readableLine({ level: 'fatal', msg: 'ending', err })).toBe('ending: x\nError: x\n    at y');
    expect(readableLine({ ...REQUEST, status: 500, err })).toContain('\n    at y');
    expect(readableLine({ level: 'error', msg: 'a job failed', err })).toBe('a job failed: x');
  });

  it('lets nothing from outside move the cursor', () => {
    const text = readableLine({ ...REQUEST, userAgent: 'a\u001b[2Jb\u009bc\nd', msg: 'GET \u0007' });
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(text).toContain('a\ufffd[2Jb\ufffdc\ufffdd');
  });
});
