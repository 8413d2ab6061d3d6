/** A server of bytes: it reads requests as far as their paths and answers with whatever it is told to send. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

const MUCH_BYTES = 64 * 1024;

export interface Asked {
  readonly method: string;
  /** With the query. */
  readonly target: string;
  readonly headers: string;
}

/** What goes out, piece by piece, and what becomes of the connection then. */
export interface Answer {
  readonly pieces: readonly string[];
  /** `endless` sends the last piece again and again until the client has had enough. */
  readonly then: 'keep' | 'fin' | 'rst' | 'stall' | 'endless';
}

export class RawServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #answer: (asked: Asked) => Answer;

  private constructor(answer: (asked: Asked) => Answer) {
    this.#answer = answer;
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  static async start(answer: (asked: Asked) => Answer): Promise<RawServer> {
    const server = new RawServer(answer);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves when nobody is connected any more. */
  async abandoned(): Promise<void> {
    for (const socket of this.#sockets)
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // Most clients have had enough before we have.
    socket.on('error', () => undefined);
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      for (let end = received.indexOf('\r\n\r\n'); end !== -1; end = received.indexOf('\r\n\r\n')) {
        const [first = '', ...headers] = received.slice(0, end).split('\r\n');
        const [method = '', target = ''] = first.split(' ');
        received = received.slice(end + 4);
        void send(socket, this.#answer({ method, target, headers: headers.join('\r\n') }));
      }
    });
  }
}

async function send(socket: Socket, { pieces, then }: Answer): Promise<void> {
  // Called when the socket is destroyed, too.
  const write = (piece: string) => new Promise((resolve) => socket.write(piece, 'latin1', resolve));
  for (const piece of pieces) await write(piece);
  if (then === 'endless') {
    const last = pieces.at(-1) ?? '';
    const much = last.repeat(Math.ceil(MUCH_BYTES / last.length));
    while (!socket.destroyed) {
      await write(much);
      // The kernel takes some at once, and nobody else would get a turn.
      await setImmediate();
    }
  }
  if (then === 'fin') socket.end();
  if (then === 'rst') socket.resetAndDestroy();
}
