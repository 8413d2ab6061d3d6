/**
 * One listener: HTTP or HTTPS, with bounds on how many may connect and how long they may take, and an end that lets
 * running answers finish.
 */
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
import { Server as NetServer, type AddressInfo, type DropArgument, type Socket } from 'node:net';
import { besideOnTimeout } from '../lib/beside.ts';
import { systemMessage } from '../lib/system-message.ts';
import { answerRefusal, reasonOf, type AnsweredReason, type Refusal } from './refusal.ts';
import type { KeyPair } from './tls-files.ts';
import { Turns } from './turns.ts';

/** What clients may do, beside what is a setting. A test may have less patience. */
export interface Limits {
  /** Between two requests. Longer than any client keeps an idle connection (BuildKit 120 s): it must close first. */
  readonly idleMs: number;
  /** For a TLS handshake, and from the connection or the first byte of a request to the last of its headers. */
  readonly headersMs: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestMs: number;
  /** How often the last two are looked at. */
  readonly checkMs: number;
  /** Requests sent ahead of the answers to others, on all connections together; some 1.5 KiB each. */
  readonly waitingRequests: number;
}

const LIMITS: Limits = {
  idleMs: 150_000,
  headersMs: 30_000,
  requestMs: 60_000,
  checkMs: 5000,
  waitingRequests: 16_384,
};

/** Where a certificate comes from, and another one when it changes. */
export interface KeyPairs {
  readonly current: KeyPair;
  watch(use: (pair: KeyPair) => void): void;
  close(): void;
}

export interface ListenOptions {
  readonly tls?: KeyPairs | undefined;
  /** As many as the system can, unless given. */
  readonly maxConnections?: number;
  /** How long a client may take nothing of its answer; five minutes unless given. */
  readonly timeoutMs?: number;
  /** Hears of each client that was refused before its request reached the application. */
  readonly onRefused?: (refusal: Refusal) => void;
  readonly limits?: Partial<Limits>;
}

export class ListeningServer {
  readonly url: string;
  readonly #server: Server | HttpsServer;
  readonly #tls: KeyPairs | undefined;
  readonly #onRefused: (refusal: Refusal) => void;
  readonly #turns: Turns;
  /** Of TCP: those that are not through their TLS handshake are among them. */
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server | HttpsServer, app: RequestListener, options: ListenOptions) {
    this.#server = server;
    this.#tls = options.tls;
    this.#onRefused = options.onRefused ?? (() => undefined);
    this.#turns = new Turns(app, { ...LIMITS, ...options.limits }.waitingRequests);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on(this.#tls ? 'secureConnection' : 'connection', (socket: Socket) => this.#turns.open(socket));
    server.on('request', (request, response) => this.#take(request, response));
    server.on('connect', ({ socket }: IncomingMessage) => {
      // Node.js looks after the connection no longer, though answers may run on it.
      socket.on('timeout', () => this.#expire(socket));
      this.#refuse(socket, 'malformed');
    });
    server.on('clientError', (error: Error, socket: Socket) => this.#fail(error, socket));
    server.on('timeout', (socket: Socket) => this.#expire(socket));
    server.on('drop', (data?: DropArgument) =>
      this.#onRefused({ reason: 'too-many-connections', client: data?.remoteAddress }),
    );
    // A listener that the system has no more sockets for goes on with those that it has.
    server.on('error', ({ code }: NodeJS.ErrnoException) =>
      this.#onRefused({ reason: 'not-accepted', client: undefined, code }),
    );
    this.url = server.listening ? urlOf(server.address() as AddressInfo, this.#tls !== undefined) : '';
    // Connections that are open keep the certificate that they were made with.
    this.#tls?.watch((pair) => (server as HttpsServer).setSecureContext(pair));
  }

  /** Resolves when it listens; rejects where it can't, as when the port is taken. */
  static async listen(
    app: RequestListener,
    { host, port }: { readonly host: string; readonly port: number },
    options: ListenOptions = {},
  ): Promise<ListeningServer> {
    const server = createServer(options);
    try {
      server.listen({ host, port });
      await once(server, 'listening');
    } catch (cause) {
      throw new Error(`can't listen on ${host}:${port}: ${systemMessage(cause)}`, { cause });
    }
    return new ListeningServer(server, app, options);
  }

  /** One without a port of its own, for connections that another process takes and hands over. */
  static withoutPort(app: RequestListener, options: ListenOptions): ListeningServer {
    const server = createServer(options);
    // At which Node.js begins to look for requests that come too slowly.
    server.emit('listening');
    return new ListeningServer(server, app, options);
  }

  /** Requests that are being answered, or wait for their turn. */
  get inFlight(): number {
    return this.#turns.inFlight;
  }

  /** Serves a connection that came elsewhere. */
  take(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Takes no new work; resolves when the last answer is out, or all are cut off because `grace` was aborted. */
  async close(grace: AbortSignal): Promise<void> {
    this.#tls?.close();
    // Not the one of HTTP: it cuts off answers that are ended but not yet taken.
    const closed = new Promise<void>((resolve) =>
      NetServer.prototype.close.call(this.#server, () => resolve()),
    );
    this.#turns.close();
    const cutOff = () => {
      for (const socket of this.#sockets) socket.destroy();
    };
    grace.addEventListener('abort', cutOff);
    if (grace.aborted) cutOff();
    await closed;
    // Those that were handed over are not the server's.
    for (const socket of this.#sockets)
      if (!socket.closed) await once(socket, 'close').catch(() => undefined);
    grace.removeEventListener('abort', cutOff);
    // Which ends the timer that looks for slow requests.
    this.#server.close();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    if (isMalformed(request)) {
      this.#refuse(socket, 'malformed');
    } else if (!this.#turns.add(request, response)) {
      this.#onRefused({ reason: 'too-many-requests', client: socket.remoteAddress });
      socket.destroy();
    }
  }

  #refuse(socket: Socket, reason: AnsweredReason, code?: string): void {
    this.#onRefused({ reason, client: socket.remoteAddress, code });
    // Whoever was asked something is no longer there to say that the connection broke.
    socket.on('error', () => socket.destroy());
    this.#turns.end(socket, () => answerRefusal(socket, reason));
  }

  /** What came is no request, or did not come in time, or the connection broke. */
  #fail(error: NodeJS.ErrnoException, socket: Socket): void {
    const { code } = error;
    const reason = reasonOf(error);
    const hasSession = this.#turns.has(socket);
    if (!hasSession && code !== 'ECONNRESET') {
      this.#onRefused({ reason: 'tls', client: socket.remoteAddress, code });
    }
    // One that never said a word is spare, as Go's clients have them, and expects none either.
    const isSpare = reason === 'too-slow' && socket.bytesRead === 0;
    if (!hasSession || reason === undefined || isSpare || !socket.writable) socket.destroy();
    else this.#refuse(socket, reason, code);
  }

  /** For as long as the timeout, nothing went over the connection in either direction. */
  #expire(socket: Socket): void {
    if (this.#turns.isBusy(socket)) {
      const beside = besideOnTimeout(socket);
      if (beside === 'moving') return;
      // It is we who have nothing to send: how long that may last is for the application to say.
      if (beside === 'nothing' && socket.writableLength === 0) return;
      this.#onRefused({ reason: 'stalled', client: socket.remoteAddress });
    }
    socket.destroy();
  }
}

export function urlOf({ address, port, family }: AddressInfo, isTls: boolean): string {
  return `${isTls ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** A kernel shows in steps of up to 1.8 MB (measured) that a client takes something: at 10 kB/s, every three minutes. */
const TIMEOUT_MS = 300_000;

function createServer({ tls, maxConnections, timeoutMs, limits }: ListenOptions): Server | HttpsServer {
  const { idleMs, headersMs, requestMs, checkMs } = { ...LIMITS, ...limits };
  const serverOptions: ServerOptions = {
    keepAliveTimeout: idleMs,
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: checkMs,
    maxHeaderSize: 16 * 1024,
    noDelay: true,
    insecureHTTPParser: false,
    // What Node.js answers to one without is not of the OCI's form.
    requireHostHeader: false,
  };
  const server = tls
    ? createHttpsServer({ ...serverOptions, ...tls.current, handshakeTimeout: headersMs })
    : createHttpServer(serverOptions);
  if (maxConnections !== undefined) server.maxConnections = maxConnections;
  server.timeout = timeoutMs ?? TIMEOUT_MS;
  // A push asks first; it gets its answer before it sends a body for nothing.
  for (const event of ['checkContinue', 'checkExpectation'] as const) {
    server.on(event, (request, response) => server.emit('request', request, response));
  }
  return server;
}

/** What the parser lets through: not one Host (RFC 9112, section 3.2), a body without an end (section 6.3), HTTP/2.0. */
function isMalformed({ httpVersion, httpVersionMajor, rawHeaders, headers }: IncomingMessage): boolean {
  if (httpVersionMajor !== 1) return true;
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === 'host') hosts += 1;
  }
  const coding = headers['transfer-encoding']?.toLowerCase() ?? 'chunked';
  return hosts > 1 || (hosts === 0 && httpVersion !== '1.0') || coding !== 'chunked';
}
