/** Stands between the mirror and the real upstream, counts the bytes of blobs that pass, and does harm to them when told to. */
import { once } from 'node:events';
import {
  createServer,
  request as askTarget,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

/** A connection is ended in good order, or reset: what was sent before that and is not read yet may be lost then. */
export type Ending = 'FIN' | 'RST';

export interface Cuts {
  /** For each blob, at places that divide it evenly. */
  readonly times: number;
  readonly by: Ending;
}

/** What passed of one blob, over all its downloads. */
export interface BlobTraffic {
  readonly size: number;
  readonly sentBytes: number;
  /** At which byte each download began. */
  readonly starts: readonly number[];
}

interface Hold {
  readonly afterBytes: number;
  readonly reached: PromiseWithResolvers<void>;
  readonly released: PromiseWithResolvers<void>;
}

interface Blob {
  readonly size: number;
  sentBytes: number;
  readonly starts: number[];
  /** Places at which a download of it is still to break off. */
  readonly cuts: number[];
}

interface Delivery {
  readonly blob: Blob;
  readonly response: ServerResponse;
  readonly closed: Promise<void>;
}

const BLOB_PATH = /\/blobs\/(sha256:[a-f0-9]{64})$/;

export class FaultyProxy implements AsyncDisposable {
  readonly #target: URL;
  readonly #server: Server;
  readonly #port: number;
  readonly #blobs = new Map<string, Blob>();
  #cuts: Cuts | undefined;
  #flippedIn: string | undefined;
  #hold: Hold | undefined;

  private constructor(target: string, server: Server, port: number) {
    this.#target = new URL(target);
    this.#server = server;
    this.#port = port;
    server.on('request', (request, response) => {
      this.#pass(request, response).catch(() => response.socket?.resetAndDestroy());
    });
  }

  static async start(target: string): Promise<FaultyProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyProxy(target, server, (server.address() as AddressInfo).port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** By digest. */
  get blobs(): Readonly<Record<string, BlobTraffic>> {
    return Object.fromEntries(this.#blobs);
  }

  get sentBytes(): number {
    return [...this.#blobs.values()].reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  }

  cutEveryBlob(cuts: Cuts): void {
    this.#cuts = cuts;
  }

  /** The byte in the middle of the blob, in every download of it. */
  flipByteOf(digest: string): void {
    this.#flippedIn = digest;
  }

  /** Resolves when that many bytes of blobs have passed; none does from then on. */
  async holdAfter(bytes: number): Promise<void> {
    this.#hold = {
      afterBytes: bytes,
      reached: Promise.withResolvers(),
      released: Promise.withResolvers(),
    };
    await this.#hold.reached.promise;
  }

  /** Does no more harm to what comes from now on, and lets go of what it holds. */
  heal(): void {
    this.#cuts = undefined;
    this.#flippedIn = undefined;
    this.#hold?.released.resolve();
    this.#hold = undefined;
  }

  /** Connections are cut and new ones refused. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    response.on('error', () => undefined); // Whoever has left is seen to have left by `closed`.
    const { method, url: path, headers } = request;
    const asked = askTarget({ host: this.#target.hostname, port: this.#target.port, method, path, headers });
    // An upstream that is gone, before its answer or in the middle of it, is one that breaks off.
    asked.on('error', () => response.socket?.resetAndDestroy());
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const { statusCode = 0 } = answer;
    response.writeHead(statusCode, answer.rawHeaders);
    const digest = BLOB_PATH.exec(path ?? '')?.[1];
    if (digest === undefined || method !== 'GET' || statusCode >= 300) await pipeline(answer, response);
    else await this.#deliver(digest, answer, { blob: this.#begin(digest, answer), response, closed });
  }

  #begin(digest: string, { headers }: IncomingMessage): Blob {
    const [, start = 0, total = headers['content-length']] =
      /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
    const size = Number(total);
    const { times = 0 } = this.#cuts ?? {};
    const cuts = Array.from({ length: times }, (_, index) => Math.ceil((size * (index + 1)) / (times + 1)));
    const blob = this.#blobs.get(digest) ?? { size, sentBytes: 0, starts: [], cuts };
    this.#blobs.set(digest, blob);
    blob.starts.push(Number(start));
    return blob;
  }

  async #deliver(digest: string, answer: IncomingMessage, delivery: Delivery): Promise<void> {
    const { blob, response } = delivery;
    const flipped = this.#flippedIn === digest ? Math.floor(blob.size / 2) : undefined;
    let position = blob.starts.at(-1)!;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      if (flipped !== undefined && flipped >= position && flipped < position + chunk.length) {
        chunk[flipped - position]! ^= 1;
      }
      const cut = blob.cuts.find((place) => place > position && place <= position + chunk.length);
      await this.#send(chunk.subarray(0, cut === undefined ? chunk.length : cut - position), delivery);
      if (response.destroyed) return;
      if (cut !== undefined) {
        blob.cuts.splice(blob.cuts.indexOf(cut), 1);
        endBy(response, this.#cuts?.by ?? 'FIN');
        return;
      }
      position += chunk.length;
    }
    response.end();
  }

  async #send(bytes: Uint8Array, { blob, response, closed }: Delivery): Promise<void> {
    const hold = this.#hold;
    if (hold && this.sentBytes >= hold.afterBytes) {
      hold.reached.resolve();
      await Promise.race([hold.released.promise, closed]);
      if (response.destroyed) return;
    }
    blob.sentBytes += bytes.length;
    await Promise.race([new Promise((resolve) => response.write(bytes, resolve)), closed]);
  }
}

function endBy(response: ServerResponse, ending: Ending): void {
  if (ending === 'RST') response.socket?.resetAndDestroy();
  else response.socket?.end();
}
