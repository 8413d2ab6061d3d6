/** A HEAD whose Content-Length no manifest can have: clients believe it, and refuse or cut the manifest that comes. */
import { describe, expect, it } from 'vitest';
import { MAX_MANIFEST_BYTES } from '../../../src/oci/manifest.ts';
import { connected, IMAGE, never, REPOSITORY, TAG } from './connect.ts';

describe('the size that a HEAD tells of a manifest', () => {
  it.each([0, 1, MAX_MANIFEST_BYTES + 1])('is found out by a GET where it is %d', async (size) => {
    await using its = await connected();
    its.registry.fault({ kind: 'manifest', method: 'HEAD' }, { headers: { 'content-length': String(size) } });
    const resolved = await its.upstream.resolve(REPOSITORY, TAG, never());
    expect(resolved?.descriptor.size).toBe(IMAGE.manifest.bytes.length);
    expect(its.registry.count({ kind: 'manifest', method: 'GET' })).toBe(1);
  });
});
