/** A mirror of several processes, as people run it: what clients see is that of one, whoever of them answers. */
import { existsSync, readFileSync } from 'node:fs';
import { cp, truncate } from 'node:fs/promises';
import { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import { serve, type Serving } from '../support/command.ts';
import { get, head, open, request } from '../support/http.ts';
import { buildImage, randomBytes, type Image } from '../support/images.ts';
import { parseMetrics } from '../support/metrics.ts';
import { RawConnection } from '../support/raw-http.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir, type TempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const WORKERS = 2;
/** By so many over each connection, each worker has been asked again for what it had asked the keeper. */
const PASSES = 2;
const PAIRS = join(import.meta.dirname, '../support/tls');

let upstream: ScriptedUpstream;
let cwd: TempDir;
let agents: Agent[];

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
  cwd = await tempDir();
  agents = [];
});
afterEach(async () => {
  for (const agent of agents) agent.destroy();
  await upstream.close();
  await cwd[Symbol.asyncDispose]();
});

function start(env: Readonly<Record<string, string>> = {}): Promise<Serving & AsyncDisposable> {
  return serve({
    cwd: cwd.path,
    upstreamUrl: upstream.url,
    env: { ENTREPOT_WORKERS: String(WORKERS), ENTREPOT_TAG_TTL: '1h', ...env },
  });
}

/** Connections that stay: each worker has as many of them as the other. */
async function connect(mirror: Serving, perWorker = 2): Promise<readonly Agent[]> {
  const opened = Array.from(
    { length: WORKERS * perWorker },
    () => new Agent({ keepAlive: true, maxSockets: 1 }),
  );
  agents.push(...opened);
  await Promise.all(opened.map((agent) => get(`${mirror.url}/v2/`, { agent })));
  return opened;
}

/** What one process tells another takes a moment, and a kernel to bury one takes another. */
function expectSoon<T>(look: () => T) {
  return expect.poll(look, { timeout: 20_000 });
}

function pidsOf({ command }: Serving): readonly number[] {
  return command.log.filter(({ msg }) => msg === 'a worker is ready').map(({ pid }) => Number(pid));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function linesOf({ command }: Serving, path: string) {
  return command.log.filter(({ msg }) => msg.includes(path));
}

async function metric(mirror: Serving, key: string): Promise<number> {
  const families = parseMetrics((await get(`${mirror.adminUrl}/metrics`)).body.toString());
  const samples = [...families.values()].flatMap(({ samples: some }) => some);
  return samples.find((sample) => sample.key === key)?.value ?? 0;
}

function fileOf(digest: Digest): string {
  const hex = hexOf(digest);
  return join(cwd.path, 'data/blobs/v1/sha256', hex.slice(0, 2), hex);
}

/** Pulled once, and stored. */
async function pushStored(mirror: Serving, seed: string, bytes: number): Promise<Digest> {
  const digest = upstream.pushBlob(REPOSITORY, randomBytes(seed, bytes));
  await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
  await expectSoon(() => existsSync(fileOf(digest))).toBe(true);
  return digest;
}

/** The same, for the first time, and told to the index. */
async function pullStored(mirror: Serving, digest: Digest): Promise<void> {
  await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
  const isStored = () =>
    mirror.command.log.some((line) => line['outcome'] === 'stored' && line['digest'] === digest);
  await expectSoon(isStored).toBe(true);
}

describe('a cold blob', () => {
  it('is downloaded once for a hundred clients of all workers, and is right for each', async () => {
    await using mirror = await start();
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('herd', 3 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const pulls = Array.from({ length: 100 }, () => get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`));
    await gate.waiting;
    gate.release();
    for (const { body, isCutShort } of await Promise.all(pulls)) {
      expect({ digest: digestOf(body), isCutShort }).toEqual({ digest, isCutShort: false });
    }
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    await expectSoon(() => linesOf(mirror, digest).filter(({ status }) => status === 200)).toHaveLength(100);
    const sources = linesOf(mirror, digest).map(({ source }) => source);
    expect(sources.filter((source) => source === 'miss')).toHaveLength(1);
    const ids = linesOf(mirror, `GET ${REPOSITORY} ${digest}`).map(({ requestId }) => requestId);
    expect(new Set(ids).size).toBe(100);
    expect(await metric(mirror, 'registry_proxy_pushed_bytes_total{type="blob"}')).toBe(300 * MIB);
  });

  it('that is not what its digest says reaches no client whole', async () => {
    await using mirror = await start();
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('wrong', MIB));
    upstream.fault({ kind: 'cdn' }, { body: flipByte(1000) }, 100);
    const pulled = await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    expect(pulled.isCutShort || pulled.status >= 500).toBe(true);
    await expect
      .poll(() => linesOf(mirror, digest).some(({ level, route }) => level === 'warn' && route === 'blob'))
      .toBe(true);
  });

  it('is no longer downloaded when its only client has left, where that is asked for', async () => {
    await using mirror = await start({ ENTREPOT_DOWNLOADS_WHEN_ABANDONED: 'stop' });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('left', 2 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    await gate.waiting;
    await answer.read(1000);
    answer.destroy();
    await mirror.command.until('download abandoned');
    const line = () => linesOf(mirror, `GET ${REPOSITORY} ${digest}`)[0];
    await expectSoon(line).toMatchObject({ status: 200, source: 'miss', aborted: true });
    gate.release();
  });
});

describe('what is asked often', () => {
  it('is answered by each worker from its own memory, logged and counted', async () => {
    await using mirror = await start();
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    const connections = await connect(mirror);
    const urls = hotUrls(mirror, image);
    // What comes in, and what is new in the index, is not kept.
    await get(urls[0] ?? '');
    for (const { digest } of image.blobs) await pullStored(mirror, digest);
    for (let pass = 0; pass < PASSES; pass += 1) {
      for (const agent of connections) for (const url of urls) await get(url, { agent });
    }
    // The keeper takes part in nothing now.
    mirror.command.kill('SIGSTOP');
    for (const agent of connections) {
      for (const url of urls) {
        const { status, body } = await get(url, { agent });
        expect({ status, digest: digestOf(body) }).toEqual({ status: 200, digest: digestIn(url, image) });
      }
    }
    mirror.command.kill('SIGCONT');
    const expected = 1 + connections.length * (PASSES + 1);
    await expectSoon(() => linesOf(mirror, `GET ${REPOSITORY} 3`)).toHaveLength(expected);
    const key = 'entrepot_requests_total{route="manifest",method="GET",status="200",source="hit"}';
    // By tag, of which the first was no hit, and by digest.
    expect(await metric(mirror, key)).toBe(2 * (expected - 1));
    expect(upstream.count({ kind: 'manifest', method: 'GET' })).toBe(1);
  });

  it('is forgotten by every worker when it is evicted', async () => {
    await using mirror = await start({ ENTREPOT_CACHE_MAX_SIZE: '3MiB', ENTREPOT_CACHE_LOW_WATER: '40%' });
    const digest = await pushStored(mirror, 'small', 1000);
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const connections = await connect(mirror);
    for (const agent of [...connections, ...connections]) await get(url, { agent });
    expect(upstream.count({ kind: 'cdn', reference: digest })).toBe(1);
    for (let seed = 0; existsSync(fileOf(digest)); seed += 1) {
      const other = upstream.pushBlob(REPOSITORY, randomBytes(`other ${seed}`, MIB));
      await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${other}`);
    }
    for (const agent of connections) expect(digestOf((await get(url, { agent })).body)).toBe(digest);
    expect(upstream.count({ kind: 'cdn', reference: digest })).toBeGreaterThan(1);
  });
});

function hotUrls({ url }: Serving, { manifest, blobs: [config] }: Image): readonly string[] {
  const v2 = `${url}/v2/${REPOSITORY}`;
  return [`${v2}/manifests/3`, `${v2}/manifests/${manifest.digest}`, `${v2}/blobs/${config?.digest ?? ''}`];
}

function digestIn(url: string, { manifest }: Image): string {
  return url.endsWith('/3') ? manifest.digest : url.slice(url.lastIndexOf('/') + 1);
}

describe('a stored blob', () => {
  it('comes with the same headers and bytes as from one process: whole, in part, by HEAD, conditionally', async () => {
    const answers = async (env: Readonly<Record<string, string>>) => {
      await using mirror = await start(env);
      const digest = await pushStored(mirror, 'stored', 2 * MIB);
      const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
      const seen = [];
      for (const options of ASKED(digest)) {
        for (const method of ['GET', 'HEAD']) {
          const { status, rawHeaders, body } = await request(url, { ...options, method });
          const headers = rawHeaders.filter(
            ([name]) => !['Date', 'Keep-Alive', 'X-Request-Id'].includes(name),
          );
          // Several processes pass on headers in their order, but do not promise it.
          seen.push({ status, headers: headers.sort(), body: digestOf(body) });
        }
      }
      return seen;
    };
    expect(await answers({})).toEqual(await answers({ ENTREPOT_WORKERS: '1' }));
  });

  it('is sent by the worker, and stays in the cache for as long as that takes', async () => {
    await using mirror = await start({ ENTREPOT_CACHE_MAX_SIZE: '48MiB', ENTREPOT_CACHE_LOW_WATER: '20%' });
    // More than the buffers of a connection hold.
    const digest = await pushStored(mirror, 'leased', 32 * MIB);
    const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    const begun = await answer.read(1000);
    for (let seed = 0; seed < 5; seed += 1) {
      const other = upstream.pushBlob(REPOSITORY, randomBytes(`other ${seed}`, 10 * MIB));
      await get(`${mirror.url}/v2/${REPOSITORY}/blobs/${other}`);
    }
    expect(existsSync(fileOf(digest))).toBe(true);
    const { body, isCutShort } = await answer.rest();
    expect({ digest: digestOf(Buffer.concat([begun, body])), isCutShort }).toEqual({
      digest,
      isCutShort: false,
    });
    const line = () => linesOf(mirror, `GET ${REPOSITORY} ${digest}`).at(-1);
    await expectSoon(line).toMatchObject({ status: 200, source: 'hit', bytes: 32 * MIB });
  });

  it('does not keep a client forever that takes nothing of it', async () => {
    await using mirror = await start({ ENTREPOT_CLIENTS_TIMEOUT: '1s' });
    const digest = await pushStored(mirror, 'stalled', 32 * MIB);
    const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    await answer.read(1000);
    await mirror.command.until('a client was refused: stalled');
    expect((await answer.rest()).isCutShort).toBe(true);
    const line = () => linesOf(mirror, `GET ${REPOSITORY} ${digest}`).at(-1);
    await expectSoon(line).toMatchObject({ aborted: true, source: 'hit' });
  });
});

describe('a stored blob that a worker can not read', () => {
  it('comes from upstream, once, in the same answer', async () => {
    await using mirror = await start();
    const digest = await pushStored(mirror, 'cut short', 32 * MIB);
    // The keeper sees its size before anything is sent, so it is cut while a worker sends it.
    const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    const begun = await answer.read(1000);
    await truncate(fileOf(digest), MIB);
    const { body, isCutShort } = await answer.rest();
    expect({ digest: digestOf(Buffer.concat([begun, body])), isCutShort }).toEqual({
      digest,
      isCutShort: false,
    });
    expect(upstream.count({ kind: 'cdn' })).toBe(2);
    await expectSoon(() => linesOf(mirror, `GET ${REPOSITORY} ${digest}`)).toHaveLength(2);
  });
});

describe('workers with a certificate', () => {
  it('speak HTTPS, and take a new one when the files change', async () => {
    const install = async (name: string) => {
      for (const kind of ['key', 'crt'])
        await cp(join(PAIRS, `${name}.${kind}`), join(cwd.path, `tls.${kind}`));
    };
    const trusting = (name: string) => ({
      agent: new HttpsAgent({ ca: readFileSync(join(PAIRS, `${name}.crt`)) }),
    });
    await install('a');
    await using mirror = await start({
      ENTREPOT_TLS_CERTIFICATE: join(cwd.path, 'tls.crt'),
      ENTREPOT_TLS_KEY: join(cwd.path, 'tls.key'),
    });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('tls', 2 * MIB));
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    expect(url).toMatch(/^https:/);
    for (let times = 0; times < 3; times += 1) {
      expect(digestOf((await get(url, trusting('a'))).body)).toBe(digest);
    }
    await install('b');
    await mirror.command.until('the TLS files changed and are in use');
    const serves = async () => (await get(`${mirror.url}/v2/`, trusting('b'))).status;
    for (let times = 0; times < 2 * WORKERS; times += 1) {
      await expectSoon(() => serves().catch(() => 0)).toBe(200);
    }
    await expect(get(`${mirror.url}/v2/`, trusting('a'))).rejects.toThrow('self-signed certificate');
  });
});

const ASKED = (digest: Digest) => [
  {},
  { range: '0-0' },
  { range: '1000-1048575' },
  { range: '-1' },
  { range: '2097152-' },
  { range: '5-6', headers: { 'If-Range': `"${digest}"` } },
  { range: '5-6', headers: { 'If-Range': '"another"' } },
  { headers: { 'If-None-Match': `"${digest}"` } },
];

describe('connections', () => {
  it('are bounded for all workers together', async () => {
    await using mirror = await start({ ENTREPOT_CLIENTS_MAX_CONNECTIONS: '4' });
    const connections = await connect(mirror);
    using refused = await RawConnection.open(mirror.url);
    expect((await refused.toEnd()).toString()).toBe('');
    await mirror.command.until('too-many-connections');
    connections[0]?.destroy();
    await expect
      .poll(() =>
        get(`${mirror.url}/v2/`).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });

  it('that send what is no request are told so, and it is counted once', async () => {
    await using mirror = await start();
    using connection = await RawConnection.open(mirror.url);
    connection.send('NONSENSE\r\n\r\n');
    expect((await connection.toEnd()).toString()).toMatch(/^HTTP\/1\.1 400 /);
    await expectSoon(() => metric(mirror, 'entrepot_refused_connections_total{reason="malformed"}')).toBe(1);
  });

  it('that bring a body end with the answer, which is the keeper’s', async () => {
    await using mirror = await start();
    const answer = await request(`${mirror.url}/v2/${REPOSITORY}/blobs/uploads/`, {
      method: 'POST',
      body: 'x',
    });
    expect([answer.status, answer.headers.connection]).toEqual([405, 'close']);
    expect((await head(`${mirror.url}/v2/`)).status).toBe(200);
  });
});

describe('a worker that is killed', () => {
  it('costs its own clients their connections, and nobody else anything; another takes its place', async () => {
    await using mirror = await start();
    const digest = await pushStored(mirror, 'killed', 32 * MIB);
    const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
    const answers = await Promise.all([open(url), open(url), open(url), open(url)]);
    for (const answer of answers) await answer.read(1000);
    await metric(mirror, 'entrepot_workers');
    const [victim = 0] = pidsOf(mirror);
    process.kill(victim, 'SIGKILL');
    const ends = await Promise.all(answers.map((answer) => answer.rest()));
    expect(ends.map(({ isCutShort }) => isCutShort).sort()).toEqual([false, false, true, true]);
    await expectSoon(() => pidsOf(mirror).length).toBe(3);
    expect(digestOf((await get(url)).body)).toBe(digest);
    expect(await metric(mirror, 'entrepot_workers')).toBe(2);
    expect(await metric(mirror, 'entrepot_worker_restarts_total')).toBe(1);
    // Each pull has a line, also those whose worker could not tell how they ended.
    const lines = () => linesOf(mirror, `GET ${REPOSITORY} ${digest}`).map(({ aborted }) => aborted === true);
    await expectSoon(lines).toHaveLength(6);
    expect(lines().filter(Boolean)).toHaveLength(2);
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(200);
  });

  it('leaves what it had counted, as it was told last', async () => {
    await using mirror = await start();
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    const [agent] = await connect(mirror);
    for (let times = 0; times < 10; times += 1)
      await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`, { agent: agent! });
    const key = 'entrepot_requests_total{route="manifest",method="GET",status="200",source="hit"}';
    expect(await metric(mirror, key)).toBe(9);
    for (const pid of pidsOf(mirror)) process.kill(pid, 'SIGKILL');
    await expectSoon(() => pidsOf(mirror).length).toBe(4);
    expect(await metric(mirror, key)).toBe(9);
  });
});

describe('a keeper', () => {
  it('that is killed takes its workers with it', async () => {
    await using mirror = await start();
    await connect(mirror);
    const pids = pidsOf(mirror);
    expect(pids.map(isRunning)).toEqual([true, true]);
    mirror.command.kill('SIGKILL');
    await expectSoon(() => pids.map(isRunning)).toEqual([false, false]);
    await using again = await start();
    expect((await get(`${again.url}/v2/`)).status).toBe(200);
  });

  it('that is told to stop has its workers finish, cold and stored, and ends well', async () => {
    await using mirror = await start({ ENTREPOT_SHUTDOWN_GRACE: '1h' });
    const stored = await pushStored(mirror, 'stored', 32 * MIB);
    const cold = upstream.pushBlob(REPOSITORY, randomBytes('cold', 2 * MIB));
    const gate = upstream.hold({ kind: 'cdn', reference: cold }, { afterBytes: MIB });
    const answers = await Promise.all(
      [stored, cold].map((digest) => open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`)),
    );
    const begun = await Promise.all(answers.map((answer) => answer.read(1000)));
    await connect(mirror);
    await gate.waiting;
    mirror.command.kill('SIGTERM');
    await mirror.command.until('stopping');
    expect((await get(`${mirror.adminUrl}/readyz`)).status).toBe(503);
    await expect(get(`${mirror.url}/v2/`)).rejects.toThrow('ECONNREFUSED');
    gate.release();
    const rests = await Promise.all(answers.map((answer) => answer.rest()));
    const digests = rests.map(({ body }, index) => digestOf(Buffer.concat([begun[index]!, body])));
    expect(digests).toEqual([stored, cold]);
    expect(await mirror.command.exited).toEqual({ code: 0, signal: null });
    expect(mirror.command.log.at(-1)).toMatchObject({ msg: 'stopped' });
    expect(pidsOf(mirror).map(isRunning)).toEqual([false, false]);
    expect(existsSync(fileOf(cold))).toBe(true);
  });

  it('that is told to stop cuts off after its grace what still hangs', async () => {
    await using mirror = await start({ ENTREPOT_SHUTDOWN_GRACE: '300ms' });
    const digest = await pushStored(mirror, 'hanging', 32 * MIB);
    const answer = await open(`${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`);
    await answer.read(1000);
    mirror.command.kill('SIGTERM');
    expect(await mirror.command.exited).toEqual({ code: 0, signal: null });
    expect((await answer.rest()).isCutShort).toBe(true);
  });
});
