import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Outlet, SinkClosedError } from '../../../src/lib/outlet.ts';
import { movableClock } from '../../support/clock.ts';
import { StalledSink } from '../../support/sinks.ts';

const MIB = 1024 * 1024;
const CHUNK = Buffer.alloc(256 * 1024);

/** What takes the first chunk after so many milliseconds, and all others at once. */
async function outletAfter(ms: number): Promise<Outlet> {
  const clock = movableClock();
  const sink = new StalledSink();
  const outlet = new Outlet(sink, clock.now);
  const written = outlet.write(CHUNK);
  await sink.stalled.promise;
  clock.pass(ms);
  sink._write = (_chunk, _encoding, done) => done();
  sink.proceed();
  await written;
  return outlet;
}

describe('Outlet.isSlow', () => {
  it('is not so of a receiver that nobody has written to yet, nor of one that takes what it gets', async () => {
    using outlet = new Outlet(new PassThrough().resume());
    expect(outlet.isSlow).toBe(false);
    await outlet.write(CHUNK);
    expect(outlet.isSlow).toBe(false);
  });

  it('is not so of one that took a second for a chunk', async () => {
    using outlet = await outletAfter(1000);
    expect(outlet.isSlow).toBe(false);
  });

  it('is so of one that took longer, until it has taken 4 MiB without delay', async () => {
    using outlet = await outletAfter(1001);
    for (let sent = 0; sent < 4 * MIB; sent += CHUNK.length) {
      expect(outlet.isSlow).toBe(true);
      await outlet.write(CHUNK);
    }
    expect(outlet.isSlow).toBe(false);
  });
});

describe('Outlet.write', () => {
  it('resolves not before the receiver has taken the bytes, and rejects when it goes away', async () => {
    const sink = new StalledSink();
    using outlet = new Outlet(sink);
    const written = outlet.write(CHUNK);
    await sink.stalled.promise;
    expect(sink.writableLength).toBe(CHUNK.length);
    sink.destroy();
    await expect(written).rejects.toThrow(SinkClosedError);
    await expect(outlet.write(CHUNK)).rejects.toThrow(SinkClosedError);
  });
});
