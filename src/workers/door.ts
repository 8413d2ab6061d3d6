/**
 * The registry's port, where workers answer: the keeper takes each connection, reads nothing from it, and hands it to
 * the worker that has the fewest. So the bound on connections is one for all of them, and one that dies leaves the port.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';
import type { Refusal } from '../http/refusal.ts';
import { systemMessage } from '../lib/system-message.ts';

/** Who takes a connection. */
export interface Taker {
  /** How many it has. */
  readonly connections: number;
  take(socket: Socket): void;
}

export interface DoorOptions {
  readonly maxConnections: number;
  /** Who can take connections now. */
  readonly takers: () => readonly Taker[];
  readonly onRefused: (refusal: Refusal) => void;
}

export class Door {
  readonly address: AddressInfo;
  readonly #server: Server;
  readonly #options: DoorOptions;
  /** While nobody can take them. */
  readonly #waiting = new Set<Socket>();

  private constructor(server: Server, options: DoorOptions) {
    this.#server = server;
    this.#options = options;
    this.address = server.address() as AddressInfo;
    server.on('connection', (socket: Socket) => this.#enter(socket));
    // A listener that the system has no more sockets for goes on with those that it has.
    server.on('error', ({ code }: NodeJS.ErrnoException) =>
      options.onRefused({ reason: 'not-accepted', client: undefined, code }),
    );
  }

  static async open({ host, port }: ListenAddress, options: DoorOptions): Promise<Door> {
    const server = createServer({ pauseOnConnect: true, noDelay: true });
    try {
      server.listen({ host, port });
      await once(server, 'listening');
    } catch (cause) {
      throw new Error(`can't listen on ${host}:${port}: ${systemMessage(cause)}`, { cause });
    }
    return new Door(server, options);
  }

  /** Somebody can take connections now. */
  handOut(): void {
    for (const socket of this.#waiting) {
      if (!this.#give(socket)) return;
      this.#waiting.delete(socket);
    }
  }

  /** Lets nobody in any more. */
  close(): void {
    this.#server.close();
    for (const socket of this.#waiting) socket.destroy();
  }

  #enter(socket: Socket): void {
    const { maxConnections, takers, onRefused } = this.#options;
    const taken = takers().reduce((sum, { connections }) => sum + connections, this.#waiting.size);
    // One that breaks before it is handed over is nobody's.
    socket.on('error', () => socket.destroy());
    if (taken >= maxConnections) {
      onRefused({ reason: 'too-many-connections', client: socket.remoteAddress });
      socket.destroy();
    } else if (!this.#give(socket)) {
      this.#waiting.add(socket);
      socket.once('close', () => this.#waiting.delete(socket));
    }
  }

  #give(socket: Socket): boolean {
    const [first, ...others] = this.#options.takers();
    if (!first) return false;
    others
      .reduce((least, taker) => (taker.connections < least.connections ? taker : least), first)
      .take(socket);
    return true;
  }
}
