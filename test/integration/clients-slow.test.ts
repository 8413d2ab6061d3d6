/** Clients that take nothing, say nothing, or are too many: what they hold is bounded, and others are served. */
import { once } from 'node:events';
import { readdir, readlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { RawConnection } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const PATIENCE = { timeout: 20_000 };

let sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
});

/** One that reads nothing until it is told to. */
async function connectTo(mirror: RunningMirror): Promise<Socket> {
  const { hostname, port } = new URL(mirror.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

async function openFiles(directory: string): Promise<readonly string[]> {
  const files = await readdir('/proc/self/fd');
  const targets = await Promise.all(
    files.map((file) => readlink(join('/proc/self/fd', file)).catch(() => '')),
  );
  // Who sends one by sendfile(2) has a descriptor of its own.
  return [...new Set(targets)].filter((target) => target.startsWith(directory));
}

const aborted = ({ log }: RunningMirror) => log.filter((line) => line['aborted'] === true);

describe('a client that asks for a blob and takes nothing of it', () => {
  const given = useMirror({ env: { ENTREPOT_CLIENTS_TIMEOUT: '1s' } });

  it('loses its connection, and with it go the open file and the place among those that are served', async () => {
    const { mirror, upstream, v2 } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('taken', 32 * MIB));
    const path = `/v2/${REPOSITORY}/blobs/${digest}`;
    const blobs = join(mirror.dataDir, 'blobs');
    expect(digestOf((await get(`${v2}/${REPOSITORY}/blobs/${digest}`)).body)).toBe(digest);

    const stalled = await connectTo(mirror);
    stalled.write(`GET ${path} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await expect.poll(() => openFiles(blobs)).toHaveLength(1);
    await expect.poll(() => aborted(mirror), PATIENCE).toHaveLength(1);
    expect(await openFiles(blobs)).toEqual([]);
    expect(await mirror.metric('entrepot_refused_connections_total{reason="stalled"}')).toBe(1);
    expect(mirror.log).toContainEqual(expect.objectContaining({ reason: 'stalled', client: '127.0.0.1' }));
  });

  it('does not stand in the way of the download, nor of others who want the same', async () => {
    const { mirror, upstream, v2 } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('cold', 32 * MIB));
    const stalled = await connectTo(mirror);
    stalled.write(`GET /v2/${REPOSITORY}/blobs/${digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await expect.poll(() => upstream.count({ kind: 'cdn' })).toBe(1);
    expect(digestOf((await get(`${v2}/${REPOSITORY}/blobs/${digest}`)).body)).toBe(digest);
    await expect.poll(() => aborted(mirror), PATIENCE).toHaveLength(1);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
    expect(await openFiles(mirror.dataDir)).not.toContainEqual(expect.stringContaining(digest.slice(7)));
  });

  it('is no client that waits for upstream, however long that takes', async () => {
    const { mirror, upstream, v2 } = given;
    const digest = upstream.pushBlob(REPOSITORY, randomBytes('waiting', 2 * MIB));
    const gate = upstream.hold({ kind: 'cdn', reference: digest }, { afterBytes: MIB });
    const waiting = await open(`${v2}/${REPOSITORY}/blobs/${digest}`);
    const begun = await waiting.read(1000);
    await gate.waiting;
    // Longer than it may take nothing, as one shows who really takes nothing.
    const other = upstream.pushBlob(REPOSITORY, randomBytes('meanwhile', 32 * MIB));
    await get(`${v2}/${REPOSITORY}/blobs/${other}`);
    const stalled = await connectTo(mirror);
    stalled.write(`GET /v2/${REPOSITORY}/blobs/${other} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await expect.poll(() => aborted(mirror), PATIENCE).toHaveLength(1);

    gate.release();
    const { body, isCutShort } = await waiting.rest();
    expect({ digest: digestOf(Buffer.concat([begun, body])), isCutShort }).toEqual({
      digest,
      isCutShort: false,
    });
  });
});

describe('two thousand clients that hold a connection each', () => {
  const COUNT = 2000;
  const given = useMirror({ env: { ENTREPOT_CLIENTS_MAX_CONNECTIONS: String(COUNT + 1) } });

  it('keep nobody else from being served, have no more of their kind let in, and end with the mirror', async () => {
    const { mirror, upstream, v2 } = given;
    const image = buildImage({ layers: [randomBytes('layer', 3 * MIB)] });
    upstream.push(REPOSITORY, '3', image);
    const connections: RawConnection[] = [];
    while (connections.length < COUNT) {
      connections.push(
        ...(await Promise.all(Array.from({ length: 100 }, () => RawConnection.open(mirror.url)))),
      );
    }
    // Some have asked for something, some are about to, most never say a word.
    for (const [index, connection] of connections.entries()) {
      if (index % 4 === 0) connection.send('GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n');
      if (index % 4 === 1) connection.send('GET /v2/ HT');
    }
    const pings = connections.filter((_connection, index) => index % 4 === 0);
    await Promise.all(pings.map((connection) => connection.until(/\r\n\r\n\{\}$/)));

    // One at a time: there is room for one.
    const pull = async () => {
      const manifest = await get(`${v2}/${REPOSITORY}/manifests/3`);
      expect(digestOf(manifest.body)).toBe(image.manifest.digest);
      for (const { digest } of image.blobs) {
        await expect
          .poll(async () => digestOf((await get(`${v2}/${REPOSITORY}/blobs/${digest}`)).body))
          .toBe(digest);
      }
    };
    await pull();

    using onTop = await RawConnection.open(mirror.url);
    using refused = await RawConnection.open(mirror.url);
    expect(await refused.toEnd()).toHaveLength(0);
    expect(
      await mirror.metric('entrepot_refused_connections_total{reason="too-many-connections"}'),
    ).toBeGreaterThan(0);

    await mirror.close();
    await Promise.all([onTop, ...connections].map((connection) => connection.toEnd()));
  });
});
