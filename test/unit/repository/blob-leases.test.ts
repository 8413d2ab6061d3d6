import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { BlobLeases } from '../../../src/repository/blob-leases.ts';

const digest = digestOf(Buffer.from('leased'));

describe('BlobLeases', () => {
  it('lets many share, and nobody have alone what is shared', async () => {
    const leases = new BlobLeases();
    const [one, two] = [await leases.share(digest), await leases.share(digest)];
    expect(leases.tryExclusive(digest)).toBeUndefined();
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    expect(leases.tryExclusive(digest)).toBeUndefined();
    two[Symbol.dispose]();
    expect(leases.tryExclusive(digest)).toBeDefined();
  });

  it('makes who wants to share wait until it is no longer had alone', async () => {
    const leases = new BlobLeases();
    const alone = leases.tryExclusive(digest);
    expect(leases.tryExclusive(digest)).toBeUndefined();
    let isShared = false;
    const waiting = leases.share(digest).then((lease) => {
      isShared = true;
      return lease;
    });
    await Promise.resolve();
    expect(isShared).toBe(false);
    alone?.[Symbol.dispose]();
    (await waiting)[Symbol.dispose]();
    expect(leases.tryExclusive(digest)).toBeDefined();
  });
});
