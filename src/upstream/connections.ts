/** The connections to all hosts of an upstream, on undici: bounded for each, with timeouts, used again, HTTP/1.1. */
import { Agent, errors, type Dispatcher } from 'undici';
import { untilAborted } from '../lib/single-flight.ts';
import { guardedConnector, type ConnectorOptions } from './guarded-connector.ts';
import type { HttpRequest } from './http-answer.ts';

export interface ConnectionsOptions extends ConnectorOptions {
  /** At once, per origin, for blobs; short questions have some of their own, never more than that. */
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  /** The longest silence within a body. */
  readonly bodyTimeoutMs: number;
  readonly userAgent: string;
}

/** A request on its way. */
export interface Sent {
  /** Fails as undici does, or with the signal's reason. */
  readonly answer: Promise<Dispatcher.ResponseData>;
  /** Whether it waits, or waited to its end, for others of ours to be done with their connections. */
  isQueued(): boolean;
}

/** A tag must not wait for an hour behind layers that fill every connection. */
const MAX_QUESTION_CONNECTIONS = 16;

export class Connections {
  readonly #blobs: Agent;
  readonly #questions: Agent;
  readonly #userAgent: string;

  constructor(options: ConnectionsOptions) {
    const connect = guardedConnector(options);
    const agent = (connections: number) =>
      new Agent({
        connections,
        connect,
        headersTimeout: options.headersTimeoutMs,
        bodyTimeout: options.bodyTimeoutMs,
        allowH2: false,
      });
    this.#blobs = agent(options.maxConnections);
    this.#questions = agent(Math.min(options.maxConnections, MAX_QUESTION_CONNECTIONS));
    this.#userAgent = options.userAgent;
  }

  send({ kind, method, url, headers, signal }: HttpRequest): Sent {
    const agent = kind === 'blob' && method === 'GET' ? this.#blobs : this.#questions;
    const options: Dispatcher.RequestOptions = {
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': this.#userAgent },
      signal: signal ?? null,
      // undici would close the connection behind every HEAD, and tags are revalidated by HEAD.
      reset: false,
    };
    let isOnConnection = false;
    const dispatcher = telling(agent, () => (isOnConnection = true));
    const ask = () => {
      const answer = dispatcher.request(options);
      // undici looks at the signal only once the request has a connection: without this it would wait on.
      return signal === undefined ? answer : untilAborted(answer, signal);
    };
    return {
      answer: ask().catch((error: unknown) => {
        // The host closed an idle connection just as we used it again: it has not read the request (RFC 9110, 9.2.2).
        const wasInUse = error instanceof errors.SocketError && (error.socket?.bytesRead ?? 0) > 0;
        if (!wasInUse) throw error;
        return ask();
      }),
      // Where there are no connections at all, none can be made.
      isQueued: () => !isOnConnection && Boolean(agent.stats[url.origin]?.connected),
    };
  }

  /** Ends all, and with them what still runs on them. */
  async close(): Promise<void> {
    await Promise.all([this.#blobs.destroy(), this.#questions.destroy()]);
  }
}

/** The agent, but for telling when what it is asked has got a connection. */
function telling(agent: Agent, onConnection: () => void): Dispatcher {
  return agent.compose((dispatch) => (options, handler) => {
    const start = handler.onRequestStart?.bind(handler);
    handler.onRequestStart = (controller, context) => {
      onConnection();
      start?.(controller, context);
    };
    return dispatch(options, handler);
  });
}
