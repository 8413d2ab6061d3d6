/**
 * A raw HTTP client for tests: it follows nothing, decodes nothing, pools nothing and tells whether a body was cut
 * short.
 */
import { once } from 'node:events';
import {
  request as nodeRequest,
  type Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Uint8Array | string;
  /** For `Range: bytes=<range>`. */
  readonly range?: string;
  readonly signal?: AbortSignal;
  /** Default: a connection of its own. */
  readonly agent?: Agent;
}

interface Head {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: IncomingHttpHeaders;
  /** As they came: names in their own case, repeated ones each. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[];
}

export interface Response extends Head {
  /** What came of it. */
  readonly body: Buffer;
  /** Whether the connection ended before the body did. */
  readonly isCutShort: boolean;
}

/** A response whose body is read at the test's own pace. */
export interface OpenResponse extends Head {
  /** The next bytes; fewer only where the body ends or breaks before (what had come, but was not read, is lost then). */
  read(bytes: number): Promise<Buffer>;
  /** All that is left. */
  rest(): Promise<{ readonly body: Buffer; readonly isCutShort: boolean }>;
  /** Leaves, as a client does on Ctrl-C. */
  destroy(): void;
}

/** Resolves when the body has ended, or was cut short; rejects where there is no answer at all. */
export async function request(url: string, options: RequestOptions = {}): Promise<Response> {
  const response = await open(url, options);
  return { ...headOf(response), ...(await response.rest()) };
}

export function get(url: string, options: RequestOptions = {}): Promise<Response> {
  return request(url, options);
}

export function head(url: string, options: RequestOptions = {}): Promise<Response> {
  return request(url, { ...options, method: 'HEAD' });
}

export function jsonOf(response: { readonly body: Buffer }): unknown {
  return JSON.parse(response.body.toString());
}

/** Resolves with the headers. */
export async function open(url: string, options: RequestOptions = {}): Promise<OpenResponse> {
  const outgoing = nodeRequest(url, {
    method: options.method ?? 'GET',
    headers: {
      ...options.headers,
      ...(options.range === undefined ? {} : { range: `bytes=${options.range}` }),
    },
    agent: options.agent ?? false,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  // Once there is a response, its body tells of what breaks; until then once() does.
  outgoing.on('error', () => undefined);
  outgoing.end(options.body);
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = new BodyReader(message);
  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    rawHeaders: pairsOf(message.rawHeaders),
    read: (bytes) => body.read(bytes),
    rest: () => body.rest(),
    destroy: () => void message.destroy(),
  };
}

class BodyReader {
  readonly #message: IncomingMessage;
  readonly #ended: Promise<void>;

  constructor(message: IncomingMessage) {
    this.#message = message;
    // A cut body is something to report, not to throw: `complete` tells.
    message.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      message.once('end', resolve);
      message.once('close', resolve);
    });
  }

  async read(bytes: number): Promise<Buffer> {
    const message = this.#message;
    const chunks: Buffer[] = [];
    let missing = bytes;
    while (missing > 0 && !message.readableEnded && !message.destroyed) {
      // read(n) of a stream gives nothing until it has n, so it is asked for what it has; read(0) asks the socket.
      const available = Math.min(missing, message.readableLength);
      const chunk = message.read(available) as Buffer | null;
      if (chunk) {
        chunks.push(chunk);
        missing -= chunk.length;
      } else {
        const readable = new Promise<void>((resolve) => message.once('readable', resolve));
        await Promise.race([readable, this.#ended]);
      }
    }
    return Buffer.concat(chunks);
  }

  async rest(): Promise<{ readonly body: Buffer; readonly isCutShort: boolean }> {
    const chunks: Buffer[] = [];
    // A listener for `readable`, once there, keeps a stream from flowing.
    this.#message
      .removeAllListeners('readable')
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .resume();
    await this.#ended;
    return { body: Buffer.concat(chunks), isCutShort: !this.#message.complete };
  }
}

function headOf({ status, headers, rawHeaders }: Head): Head {
  return { status, headers, rawHeaders };
}

function pairsOf(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    raw[2 * index] ?? '',
    raw[2 * index + 1] ?? '',
  ]);
}
