import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { get, head, jsonOf, open } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

const MIB = 1024 * 1024;

describe('GET of a blob', () => {
  it('costs one GET upstream, and none the second time', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({ upstreamUrl: upstream.url });
    const bytes = randomBytes(1, 3 * MIB + 17);
    const digest = upstream.pushBlob('library/alpine', bytes);

    const cold = await get(`${mirror.url}/v2/library/alpine/blobs/${digest}`);
    expect(cold.status).toBe(200);
    expect(digestOf(cold.body)).toBe(digest);
    expect(upstream.count({ kind: 'cdn', method: 'GET' })).toBe(1);
    upstream.reset();

    const warm = await get(`${mirror.url}/v2/library/alpine/blobs/${digest}`);
    expect(digestOf(warm.body)).toBe(digest);
    expect(upstream.requests).toEqual([]);
  });
});
