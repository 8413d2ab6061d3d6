/** One listener: HTTP or HTTPS, with the timeouts that clients need, and an end that lets running answers finish. */
import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { systemMessage } from '../lib/system-message.ts';
import { RegistryError } from '../oci/errors.ts';
import type { TlsFiles } from './tls-files.ts';

/** Longer than any client keeps an idle connection (BuildKit 120 s): whoever closes first must be the client. */
const KEEP_ALIVE_MS = 150_000;
const HEADERS_MS = 30_000;
const REQUEST_MS = 60_000;
const SERVER_OPTIONS: ServerOptions = {
  keepAliveTimeout: KEEP_ALIVE_MS,
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  maxHeaderSize: 16 * 1024,
  noDelay: true,
};

export class ListeningServer {
  readonly url: string;
  readonly #server: Server | HttpsServer;
  readonly #tls: TlsFiles | undefined;
  readonly #connections = new Set<Socket>();
  /** Those of them on which nobody has asked for anything yet. */
  readonly #unused = new Set<Socket>();
  readonly #answers = new Set<ServerResponse>();

  private constructor(server: Server | HttpsServer, tls: TlsFiles | undefined) {
    this.#server = server;
    this.#tls = tls;
    server.on('connection', (socket: Socket) => keepWhileOpen(this.#connections, socket));
    server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) =>
      keepWhileOpen(this.#unused, socket),
    );
    server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#unused.delete(socket);
      keepWhileOpen(this.#answers, response);
    });
    server.on('clientError', (error: Error, socket: Socket) => {
      const isAnswering = [...this.#answers].some((answer) => answer.socket === socket && answer.headersSent);
      // A refusal would become part of the answer that is under way.
      if (isAnswering) socket.destroy();
      else refuse(error, socket);
    });
    const { address, port, family } = server.address() as AddressInfo;
    this.url = `${tls ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Resolves when it listens; rejects where it can't, as when the port is taken. */
  static async listen(
    app: RequestListener,
    { host, port }: { readonly host: string; readonly port: number },
    tls?: TlsFiles,
  ): Promise<ListeningServer> {
    const server = tls
      ? createHttpsServer({ ...SERVER_OPTIONS, ...tls.current }, app)
      : createHttpServer(SERVER_OPTIONS, app);
    // A push asks first; it gets its answer before it sends a body for nothing.
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      server.on(event, (request, response) => server.emit('request', request, response));
    }
    try {
      server.listen({ host, port });
      await once(server, 'listening');
    } catch (cause) {
      throw new Error(`can't listen on ${host}:${port}: ${systemMessage(cause)}`, { cause });
    }
    // Connections that are open keep the certificate that they were made with.
    if (tls) tls.watch((files) => (server as HttpsServer).setSecureContext(files));
    return new ListeningServer(server, tls);
  }

  /** Takes no new work; resolves when the last answer is out, or all are cut off because `grace` was aborted. */
  async close(grace: AbortSignal): Promise<void> {
    this.#tls?.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.prependListener('request', (_request, response) =>
      response.setHeader('Connection', 'close'),
    );
    const endIdle = () => {
      this.#server.closeIdleConnections();
      // To Node a connection is busy until its first request; Go's clients dial ahead, and may then not need it.
      for (const socket of this.#unused) socket.destroy();
    };
    endIdle();
    // A connection whose answer ends after this would stay open for as long as it may idle.
    const sweep = setInterval(endIdle, 100);
    const cutOff = () => {
      this.#server.closeAllConnections();
      // To Node a connection is none before its TLS handshake.
      for (const socket of this.#connections) socket.destroy();
    };
    grace.addEventListener('abort', cutOff);
    if (grace.aborted) cutOff();
    await closed;
    clearInterval(sweep);
    grace.removeEventListener('abort', cutOff);
  }
}

function keepWhileOpen<T extends Socket | ServerResponse>(open: Set<T>, item: T): void {
  open.add(item);
  item.once('close', () => open.delete(item));
}

const STATUS_OF_PARSE_ERROR: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** What is no HTTP gets an answer in the OCI's form too, if it can still be told, and its connection ends. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = STATUS_OF_PARSE_ERROR[error.code ?? ''] ?? '400 Bad Request';
  const body = JSON.stringify(new RegistryError('UNSUPPORTED', 'the request is no valid HTTP').toWire());
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`, () => socket.destroy());
}
