/** Requests as bytes on a connection, for what no HTTP client lets one send. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawConnection implements Disposable {
  readonly #socket: Socket;
  readonly #closed: Promise<unknown>;
  #received = Buffer.alloc(0);
  #onData: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once('close', resolve));
    // Being cut off is something to look at, not to throw.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onData();
    });
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** All that came so far. */
  get received(): Buffer {
    return this.#received;
  }

  /** Resolves when what came matches. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#received.toString('latin1'))) {
      const more = new Promise<boolean>((resolve) => (this.#onData = () => resolve(true)));
      const goesOn = await Promise.race([more, this.#closed.then(() => false)]);
      if (!goesOn && !pattern.test(this.#received.toString('latin1'))) {
        throw new Error(`the connection ended after ${JSON.stringify(this.#received.toString('latin1'))}`);
      }
    }
  }

  /** All that came until the other side ended the connection. */
  async toEnd(): Promise<Buffer> {
    await this.#closed;
    return this.#received;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** Sends that and resolves when the other side has ended the connection. */
export async function sendRaw(url: string, bytes: string | Uint8Array): Promise<readonly RawResponse[]> {
  using connection = await RawConnection.open(url);
  connection.send(bytes);
  return parseResponses(await connection.toEnd());
}

/** As far as they have a Content-Length or no body. */
export function parseResponses(bytes: Buffer): readonly RawResponse[] {
  const responses: RawResponse[] = [];
  for (let rest = bytes.toString('latin1'); rest !== '';) {
    const end = rest.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = rest.slice(0, end === -1 ? undefined : end).split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1];
    if (end === -1 || status === undefined) throw new Error(`this is no response: ${rest.slice(0, 300)}`);
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const length = Number(headers['content-length'] ?? 0);
    responses.push({ status: Number(status), headers, body: rest.slice(end + 4, end + 4 + length) });
    rest = rest.slice(end + 4 + length);
  }
  return responses;
}
