import { once } from 'node:events';
import { readdir, readlink } from 'node:fs/promises';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BlobReadError } from '../../../src/blobs/blob-store.ts';
import { sentBeside } from '../../../src/lib/beside.ts';
import { SinkClosedError } from '../../../src/lib/outlet.ts';
import type { Refusal } from '../../../src/http/refusal.ts';
import { get, head } from '../../support/http.ts';
import { randomBytes } from '../../support/images.ts';
import {
  canSendfile,
  SendingServer,
  type Sending,
  type SendingOptions,
} from '../../support/sending-server.ts';

const MIB = 1024 * 1024;
const FEW = randomBytes('few', 2 * MIB + 12_345);
/** More than the kernel holds for a connection. */
const MANY = randomBytes('many', 24 * MIB + 1);
const PATIENCE = { timeout: 20_000 };

/** One that asks, and reads nothing until it is told to. */
async function ask({ url }: SendingServer): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: mirror\r\n\r\n');
  return socket;
}

/** Resolves when what the kernel takes is taken, and more waits. */
async function stuck(server: SendingServer): Promise<Sending> {
  await expect.poll(() => server.sendings.length, PATIENCE).toBe(1);
  const sending = server.sendings[0]!;
  let seen = -1;
  const isStill = () => {
    const before = seen;
    seen = sentBeside(sending.socket);
    return seen > 0 && seen === before;
  };
  await expect.poll(isStill, { ...PATIENCE, interval: 50 }).toBe(true);
  return sending;
}

async function bodyOf(socket: Socket): Promise<Buffer> {
  const bytes = Buffer.concat(await Array.fromAsync(Readable.from(socket) as AsyncIterable<Buffer>));
  return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4);
}

/** The file's descriptors in this process, whoever has them. */
async function descriptorsOf(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(
    names.map((name) => readlink(join('/proc/self/fd', name)).catch(() => '')),
  );
  return targets.filter((target) => target === path).length;
}

describe.skipIf(!canSendfile)('Sendfile', () => {
  it('sends all of a file on a connection that is then used again, most of it past Node.js', async () => {
    await using server = await SendingServer.start(FEW);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let round = 1; round <= 3; round += 1) {
      expect((await get(server.url, { agent })).body.equals(FEW)).toBe(true);
      const { socket } = server.sendings.at(-1)!;
      expect(new Set(server.sendings.map((sending) => sending.socket)).size).toBe(1);
      expect(sentBeside(socket)).toBeGreaterThan(round * (FEW.length - 64 * 1024));
      expect(socket.bytesWritten).toBeLessThan(round * 64 * 1024);
    }
    agent.destroy();
  });

  it('sends to 200 at once', async () => {
    const bytes = FEW.subarray(0, 400_000);
    await using server = await SendingServer.start(bytes);
    const responses = await Promise.all(Array.from({ length: 200 }, () => get(server.url)));
    expect(responses.every(({ body }) => body.equals(bytes))).toBe(true);
    expect(server.sendings.every(({ socket }) => sentBeside(socket) > 300_000)).toBe(true);
    expect(await Promise.all(server.sendings.map(({ ended }) => ended))).toEqual(Array(200).fill(undefined));
    expect(await descriptorsOf(server.path)).toBe(0);
  });

  it('answers what was asked ahead only behind the file', async () => {
    await using server = await SendingServer.start(FEW);
    const socket = await ask(server);
    socket.write('GET / HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n');
    const bytes = await bodyOf(socket);
    expect(bytes.subarray(0, FEW.length).equals(FEW)).toBe(true);
    const second = bytes.subarray(FEW.length);
    expect(second.subarray(second.indexOf('\r\n\r\n') + 4).equals(FEW)).toBe(true);
  });

  it('waits for a slow receiver, and goes on when it reads again', async () => {
    await using server = await SendingServer.start(MANY);
    const socket = await ask(server);
    const { ended } = await stuck(server);
    const body = bodyOf(socket);
    expect(await ended).toBeUndefined();
    server.sendings[0]!.socket.end();
    expect((await body).equals(MANY)).toBe(true);
  });

  it.each([
    ['leaves', (socket: Socket) => socket.destroy()],
    ['breaks the connection', (socket: Socket) => socket.resetAndDestroy()],
  ])('ends when the receiver %s, and lets go of the file', async (_what, leave) => {
    await using server = await SendingServer.start(MANY);
    const socket = await ask(server);
    const { ended } = await stuck(server);
    leave(socket);
    expect(await ended).toBeInstanceOf(SinkClosedError);
    expect(await descriptorsOf(server.path)).toBe(0);
  });

  it('ends when the answer is broken off on this side, and the receiver sees it', async () => {
    await using server = await SendingServer.start(MANY);
    const socket = await ask(server);
    const sending = await stuck(server);
    const sent = sentBeside(sending.socket);
    sending.response.destroy();
    expect(await sending.ended).toBeInstanceOf(SinkClosedError);
    expect(sentBeside(sending.socket)).toBe(sent);
    const body = await bodyOf(socket).catch(() => Buffer.alloc(0));
    // No more than the kernel had: with the answer the transfer is over too, though it has a descriptor of its own.
    expect(body.length).toBeLessThan(sent + 64 * 1024);
    expect(MANY.subarray(0, body.length).equals(body)).toBe(true);
  });

  it('tells where a file ends too early, and has sent all that is before', async () => {
    await using server = await SendingServer.start(FEW, { length: FEW.length + MIB });
    const { body, isCutShort } = await get(server.url);
    expect(isCutShort).toBe(true);
    expect(body.equals(FEW)).toBe(true);
    const error = await server.sendings[0]!.ended;
    expect(error).toBeInstanceOf(BlobReadError);
    expect(error).toMatchObject({ position: FEW.length });
    expect(sentBeside(server.sendings[0]!.socket)).toBeGreaterThan(MIB);
  });

  it.each<[string, SendingOptions]>([
    ['goes out in chunks of HTTP', { isChunked: true }],
    ['is to be copied', { isCopied: true }],
  ])('is not used for a body that %s', async (_what, options) => {
    await using server = await SendingServer.start(FEW, options);
    expect((await get(server.url)).body.equals(FEW)).toBe(true);
    expect(sentBeside(server.sendings[0]!.socket)).toBe(0);
  });

  it('leaves to be copied what the system can only read', async () => {
    await using server = await SendingServer.start('/proc/self/pagemap', { length: 2 * MIB });
    const { body, isCutShort } = await get(server.url);
    expect({ length: body.length, isCutShort }).toEqual({ length: 2 * MIB, isCutShort: false });
    expect(await server.sendings[0]!.ended).toBeUndefined();
    expect(sentBeside(server.sendings[0]!.socket)).toBe(0);
  });

  it('sends no body where none is wanted', async () => {
    await using server = await SendingServer.start(FEW);
    expect((await head(server.url)).body).toHaveLength(0);
    expect(sentBeside(server.sendings[0]!.socket)).toBe(0);
  });
});

describe.skipIf(!canSendfile)('a receiver that is sent to by sendfile, and takes little', () => {
  it('is cut off when it takes nothing for as long as the timeout, and not before', async () => {
    const refusals: Refusal[] = [];
    const onRefused = (refusal: Refusal) => void refusals.push(refusal);
    await using server = await SendingServer.start(MANY, { timeoutMs: 500, onRefused });
    const socket = await ask(server);
    const { socket: sending, ended } = await stuck(server);
    // Takes some each time when its time would be over, had it not taken any since the last time.
    for (let taken = 0; taken < 15 * MIB;) {
      const isOver = await Promise.race([once(sending, 'timeout').then(() => false), ended.then(() => true)]);
      expect({ isOver, refusals }).toEqual({ isOver: false, refusals: [] });
      for (const enough = taken + 5 * MIB; taken < enough;) {
        const chunk = socket.read() as Buffer | null;
        if (chunk) taken += chunk.length;
        else await once(socket, 'readable');
      }
    }
    expect(await ended).toBeInstanceOf(SinkClosedError);
    expect(refusals).toMatchObject([{ reason: 'stalled' }]);
    socket.destroy();
  });
});

describe.each([
  ['by sendfile', {}],
  ['a copy', { isCopied: true }],
])('a receiver that is sent %s', (way, options) => {
  const skip = way === 'by sendfile' && !canSendfile;

  it.skipIf(skip)('and never reads, is cut off', async () => {
    const refusals: Refusal[] = [];
    const onRefused = (refusal: Refusal) => void refusals.push(refusal);
    await using server = await SendingServer.start(MANY, { ...options, timeoutMs: 100, onRefused });
    const socket = await ask(server);
    await expect.poll(() => server.sendings.length, PATIENCE).toBe(1);
    expect(await server.sendings[0]!.ended).toBeInstanceOf(SinkClosedError);
    expect(refusals).toMatchObject([{ reason: 'stalled' }]);
    socket.destroy();
  });
});
