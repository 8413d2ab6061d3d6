import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { BlobLeases } from '../../../src/repository/blob-leases.ts';
import { LingeringLeases } from '../../../src/repository/lingering-leases.ts';

const DIGEST = digestOf(Buffer.from('blob'));

describe('LingeringLeases', () => {
  let leases: BlobLeases;
  let lingering: LingeringLeases;
  beforeEach(() => {
    vi.useFakeTimers();
    leases = new BlobLeases();
    lingering = new LingeringLeases(leases, 1000);
  });
  afterEach(() => {
    lingering[Symbol.dispose]();
    vi.useRealTimers();
  });

  it('keep a blob from eviction for a while after the last time that it was asked for', async () => {
    await lingering.hold(DIGEST);
    vi.advanceTimersByTime(900);
    await lingering.hold(DIGEST);
    vi.advanceTimersByTime(900);
    expect(leases.tryExclusive(DIGEST)).toBeUndefined();
    vi.advanceTimersByTime(100);
    expect([...leases.leased()]).toEqual([]);
  });

  it('end when they are disposed of, and nothing is left', async () => {
    await lingering.hold(DIGEST);
    lingering[Symbol.dispose]();
    expect([...leases.leased()]).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
