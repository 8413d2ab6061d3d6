import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/http/refusal.ts';
import { Door, type Taker } from '../../../src/workers/door.ts';

class Holder implements Taker {
  readonly sockets: Socket[] = [];

  get connections(): number {
    return this.sockets.length;
  }

  take(socket: Socket): void {
    this.sockets.push(socket);
  }
}

let opened: DisposableStack;
afterEach(() => opened.dispose());

async function openDoor(takers: readonly Taker[], maxConnections = 100) {
  opened = new DisposableStack();
  const refusals: Refusal[] = [];
  const now = [...takers];
  const door = await Door.open(
    { host: '127.0.0.1', port: 0 },
    { maxConnections, takers: () => now, onRefused: (refusal) => void refusals.push(refusal) },
  );
  opened.defer(() => door.close());
  return { door, refusals, now };
}

async function enter(door: Door): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: door.address.port });
  opened.defer(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

function release(holders: readonly Holder[]): void {
  for (const { sockets } of holders) for (const socket of sockets) socket.destroy();
}

describe('Door', () => {
  it('hands each connection to whoever has the fewest', async () => {
    const holders = [new Holder(), new Holder(), new Holder()];
    const { door } = await openDoor(holders);
    for (let count = 0; count < 9; count += 1) await enter(door);
    await expect.poll(() => holders.map(({ connections }) => connections)).toEqual([3, 3, 3]);
    release(holders);
  });

  it('keeps what comes while nobody can take it, and hands it out, with what was sent, when somebody can', async () => {
    const { door, now } = await openDoor([]);
    const client = await enter(door);
    client.write('hello');
    const left = await enter(door);
    left.destroy();
    const holder = new Holder();
    now.push(holder);
    await expect
      .poll(() => {
        door.handOut();
        return holder.connections;
      })
      .toBeGreaterThan(0);
    const [socket] = holder.sockets;
    socket?.resume();
    const [chunk] = (await once(socket!, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('hello');
    release([holder]);
  });

  it('lets in no more than the bound, of all together', async () => {
    const holders = [new Holder(), new Holder()];
    const { door, refusals } = await openDoor(holders, 2);
    for (let count = 0; count < 2; count += 1) await enter(door);
    const refused = await enter(door);
    refused.resume();
    await once(refused, 'close');
    expect(refusals).toEqual([{ reason: 'too-many-connections', client: '127.0.0.1' }]);
    release(holders);
  });

  it('says why it can not be opened', async () => {
    const { door } = await openDoor([]);
    const { port } = door.address;
    const options = { maxConnections: 1, takers: () => [], onRefused: () => undefined };
    await expect(Door.open({ host: '127.0.0.1', port }, options)).rejects.toThrow(
      `can't listen on 127.0.0.1:${port}: address already in use`,
    );
  });

  it('cuts off, when it closes, who still waits', async () => {
    const { door } = await openDoor([]);
    const client = await enter(door);
    client.resume();
    const closed = once(client, 'close');
    await expect.poll(() => (door.close(), true)).toBe(true);
    await closed;
    await expect(enter(door)).rejects.toThrow('ECONNREFUSED');
  });
});
