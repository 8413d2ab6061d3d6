/**
 * The keeper's end of what workers pass on: HTTP on a socket of this machine. Whoever has the secret is one of our workers,
 * and what its headers say of the client is taken as it is; all others are cut off.
 */
import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEADERS, type KeeperAddress } from './messages.ts';
import type { PassedOn } from './shared-records.ts';

/** What a client may send, and what we add. */
const MAX_HEADER_BYTES = 24 * 1024;
/** As many as Linux allows, unless told otherwise: beyond them a worker's connection fails at once (connect(2), EAGAIN). */
const BACKLOG = 4096;

export class KeeperServer {
  readonly address: KeeperAddress;
  readonly #server: Server;
  readonly #directory: string | undefined;

  private constructor(server: Server, address: KeeperAddress, directory: string | undefined) {
    this.#server = server;
    this.address = address;
    this.#directory = directory;
  }

  static async listen(app: RequestListener): Promise<KeeperServer> {
    const secret = randomBytes(32);
    const server = createServer(
      // Timeouts are the workers' affair. A connection that is kept must not close while a worker begins to use it.
      { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, maxHeaderSize: MAX_HEADER_BYTES },
      (request, response) => {
        if (hasSecret(request, secret)) app(request, response);
        else request.socket.destroy();
      },
    );
    // On Linux a name that is in no file system (unix(7)): no disk that is full, read-only or gone takes it away, and
    // nothing is left of it after a kill.
    const directory = process.platform === 'linux' ? undefined : await mkdtemp(join(tmpdir(), 'entrepot-'));
    const socketPath = directory === undefined ? `\0entrepot-${randomUUID()}` : join(directory, 'keeper');
    server.listen({ path: socketPath, backlog: BACKLOG });
    await once(server, 'listening');
    // Where the system has no more sockets, the worker that wanted one learns of it.
    server.on('error', () => undefined);
    return new KeeperServer(server, { socketPath, secret: secret.toString('hex') }, directory);
  }

  /** To be called when no worker is left. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}

function hasSecret({ headers }: IncomingMessage, secret: Buffer): boolean {
  const given = Buffer.from(String(headers[HEADERS.secret]), 'hex');
  return given.length === secret.length && timingSafeEqual(given, secret);
}

/** What a worker says of the request that it passes on. */
export function passedOnBy({ headers }: IncomingMessage): PassedOn {
  const text = (name: string) => headers[name] as string | undefined;
  return {
    id: text(HEADERS.id) ?? '',
    worker: Number(text(HEADERS.worker)),
    client: text(HEADERS.client),
    isRest: text(HEADERS.rest) !== undefined,
  };
}
