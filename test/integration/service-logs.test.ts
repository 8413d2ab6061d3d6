import { describe, expect, it } from 'vitest';
import type { Source } from '../../src/repository/repository.ts';
import { get, head, open, request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import type { LogLine } from '../support/mirror.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const clock = { now: Date.now() };
const pair = useMirror({ now: () => clock.now, env: { ENTREPOT_TAG_TTL: '60s' } });

/** Once there are so many: a line is written when an answer is out, and its client may see that first. */
async function linesWith(field: string, count = 1): Promise<readonly LogLine[]> {
  const lines = () => pair.mirror.log.filter((line) => line[field] !== undefined);
  await expect.poll(() => lines().length, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  return lines();
}

function requestLines(count: number): Promise<readonly LogLine[]> {
  return linesWith('route', count);
}

const A_NUMBER = expect.any(Number) as number;

/** Of a cold pull of which half has come, and a client that leaves after 1 MiB less one byte. */
async function lineOfOneWhoLeaves(size: number): Promise<LogLine> {
  const { upstream, v2 } = pair;
  const digest = upstream.pushBlob('library/alpine', randomBytes('left', size));
  const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: size / 2 });
  const answer = await open(`${v2}/library/alpine/blobs/${digest}`);
  await answer.read(MIB - 1);
  answer.destroy();
  const [line] = await requestLines(1);
  gate.release();
  return line!;
}

describe('the log', () => {
  it('has exactly one line for each request, with all that tells it from others', async () => {
    const { upstream, v2 } = pair;
    const image = buildImage({ layers: 1 });
    const [layer] = image.layers;
    upstream.push('library/alpine', '3', image);
    const headers = { 'user-agent': 'docker/29.0' };
    await head(`${v2}/library/alpine/manifests/3`, { headers });
    await get(`${v2}/library/alpine/blobs/${layer!.digest}`, { headers, range: '10-19' });
    await get(`${v2}/library/alpine/manifests/missing?ns=docker.io`, { headers });
    await get(`${v2}/library/alpine/tags/list`, { headers });
    await request(`${v2}/library/alpine/manifests/3`, { method: 'PUT', headers, body: '{}' });
    await get(`${v2}/`, { headers });

    const common = {
      level: 'info',
      client: '127.0.0.1',
      userAgent: 'docker/29.0',
      durationMs: A_NUMBER,
      ttfbMs: A_NUMBER,
    };
    const alpine = { ...common, repository: 'library/alpine' };
    const lines = await requestLines(6);
    expect(lines).toEqual(
      [
        {
          ...alpine,
          method: 'HEAD',
          route: 'manifest',
          reference: '3',
          status: 200,
          source: 'miss',
          bytes: 0,
        },
        {
          ...alpine,
          ...{
            method: 'GET',
            route: 'blob',
            reference: layer!.digest,
            status: 206,
            source: 'miss',
            bytes: 10,
          },
        },
        {
          ...alpine,
          ...{ method: 'GET', route: 'manifest', reference: 'missing', namespace: 'docker.io' },
          ...{ status: 404, errorCode: 'MANIFEST_UNKNOWN', bytes: A_NUMBER },
        },
        { ...alpine, method: 'GET', route: 'tags', status: 200, source: 'miss', bytes: A_NUMBER },
        {
          ...common,
          ...{ method: 'PUT', route: 'none', status: 405, errorCode: 'UNSUPPORTED', bytes: A_NUMBER },
          reference: '/v2/library/alpine/manifests/3',
        },
        { ...common, method: 'GET', route: 'ping', status: 200, bytes: 2 },
      ].map((line) => ({
        ...line,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
        requestId: expect.stringMatching(/^[\da-f-]{36}$/) as string,
        msg: expect.any(String) as string,
      })),
    );
    expect(new Set(lines.map(({ requestId }) => requestId)).size).toBe(6);
    expect(lines.map(({ msg }) => msg).slice(0, 3)).toEqual([
      'HEAD library/alpine 3 200 miss',
      `GET library/alpine ${layer!.digest} 206 miss`,
      'GET library/alpine missing 404',
    ]);
    for (const { durationMs } of lines) expect(durationMs).toBeGreaterThan(0);
  });

  it('tell a request by its id, to upstream and to the client that gets an error', async () => {
    const { upstream, v2 } = pair;
    upstream.push('library/alpine', '3', buildImage());
    await get(`${v2}/library/alpine/manifests/3`, { headers: { 'X-Request-Id': 'from-a-mirror:1' } });
    const failed = await get(`${v2}/library/alpine/manifests/none`, { headers: { 'X-Request-Id': 'no id' } });
    const [found, missing] = await requestLines(2);
    expect(found).toMatchObject({ clientRequestId: 'from-a-mirror:1' });
    expect(missing).not.toHaveProperty('clientRequestId');
    expect(failed.headers['x-request-id']).toBe(missing!['requestId']);
    const ids = (reference: string) =>
      upstream.requests
        .filter((asked) => asked.reference === reference)
        .map(({ headers }) => headers['x-request-id']);
    expect(new Set(ids('3'))).toEqual(new Set([found!['requestId']]));
    expect(new Set(ids('none'))).toEqual(new Set([missing!['requestId']]));
  });

  it('says how each was served: miss, joined, hit, revalidated, stale', async () => {
    const { upstream, v2 } = pair;
    const image = buildImage({ layers: [randomBytes('sources', 2 * MIB)] });
    const layer = `${v2}/library/alpine/blobs/${image.layers[0]!.digest}`;
    const manifest = `${v2}/library/alpine/manifests/3`;
    upstream.push('library/alpine', '3', image);

    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const first = await open(layer);
    await gate.waiting;
    const second = await open(layer);
    gate.release();
    await Promise.all([first.rest(), second.rest()]);
    await linesWith('outcome');
    await get(layer);
    await get(manifest);
    await get(manifest);
    clock.now += 61_000;
    await get(manifest);
    await upstream.stop();
    clock.now += 61_000;
    await get(manifest);

    const sourcesOf = (kind: string, lines: readonly LogLine[]) =>
      lines.filter(({ route }) => route === kind).map(({ source }) => source as Source);
    const lines = await requestLines(7);
    expect(sourcesOf('blob', lines).sort()).toEqual(['hit', 'joined', 'miss']);
    expect(sourcesOf('manifest', lines)).toEqual(['miss', 'hit', 'revalidated', 'stale']);
  });

  it('marks a client that left while it waited for more', async () => {
    const line = await lineOfOneWhoLeaves(2 * MIB);
    expect(line).toMatchObject({ level: 'info', status: 200, source: 'miss', aborted: true });
    expect(line['err']).toBeUndefined();
  });

  it('tells how many bytes went out to a client that left', async () => {
    const { bytes } = await lineOfOneWhoLeaves(2 * MIB);
    expect(bytes).toBeGreaterThanOrEqual(MIB - 1);
    expect(bytes).toBeLessThan(2 * MIB);
  });

  it('blames nobody for a client that left while it was being sent to', async () => {
    const line = await lineOfOneWhoLeaves(32 * MIB);
    expect(line).toMatchObject({ level: 'info', status: 200, source: 'miss', aborted: true });
    expect(line['err']).toBeUndefined();
  });

  it('marks a client that left before it had an answer', async () => {
    const { upstream, v2 } = pair;
    upstream.push('library/alpine', '3', buildImage());
    const gate = upstream.hold({ kind: 'manifest', method: 'HEAD' });
    const leaving = new AbortController();
    const answer = get(`${v2}/library/alpine/manifests/3`, { signal: leaving.signal });
    await gate.waiting;
    leaving.abort();
    await expect(answer).rejects.toThrow('aborted');
    const [line] = await requestLines(1);
    gate.release();
    expect(line).toMatchObject({ level: 'info', status: 499, aborted: true, bytes: 0 });
  });

  it('warns, with the reason, of what upstream did wrong', async () => {
    const { upstream, v2 } = pair;
    const bytes = randomBytes('wrong', 1000);
    const digest = upstream.pushBlob('library/alpine', bytes);
    upstream.fault({ kind: 'cdn' }, { body: (right) => Uint8Array.from(right, (byte) => byte ^ 1) });
    const answer = await get(`${v2}/library/alpine/blobs/${digest}`);
    expect(answer.isCutShort).toBe(true);
    const [line] = await requestLines(1);
    expect(line).toMatchObject({ level: 'warn', status: 200, source: 'miss' });
    expect(JSON.stringify(line?.['err'])).toContain('instead of');
    const [download] = await linesWith('outcome');
    expect(download).toMatchObject({
      level: 'error',
      outcome: 'mismatch',
      digest,
      repository: 'library/alpine',
    });
  });
});
