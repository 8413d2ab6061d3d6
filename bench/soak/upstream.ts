/** The upstream of a soak: it wants tokens, and has bad hours, each of a few seconds. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { Random } from '../../test/support/random.ts';
import { MANIFEST_TYPE } from '../images.ts';
import { bytesOf, type Catalogue, type Repository } from './catalogue.ts';

const WEATHERS = ['clear', 'clear', 'clear', 'outage', 'silence', 'cuts', 'lies', 'limits'] as const;
export type Weather = (typeof WEATHERS)[number];

const SPELL_MS = 4000;
const PIECE_BYTES = 64 * 1024;
const ROUTE = /^\/v2\/(?<name>.+)\/(?<kind>manifests|blobs|tags)\/(?<reference>[^/]+)$/;

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export class SoakUpstream implements AsyncDisposable {
  readonly url: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<Socket>();
  readonly #catalogue: Catalogue;
  readonly #random: Random;
  readonly #over = new AbortController();
  #weather: Weather = 'clear';
  #requests = 0;

  private constructor(server: ReturnType<typeof createServer>, catalogue: Catalogue, random: Random) {
    this.#server = server;
    this.#catalogue = catalogue;
    this.#random = random;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (request, response) => void this.#serve(request, response));
    void this.#changeWeather();
  }

  static async start(catalogue: Catalogue, random: Random): Promise<SoakUpstream> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SoakUpstream(server, catalogue, random);
  }

  get weather(): Weather {
    return this.#weather;
  }

  get requests(): number {
    return this.#requests;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #changeWeather(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      this.#weather = this.#random.pick(WEATHERS);
      await setTimeout(SPELL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#requests += 1;
    request.resume();
    // Whoever breaks off is no concern of ours.
    response.on('error', () => undefined);
    if (this.#weather === 'silence' && this.#random.chance(0.5)) return;
    const { status, headers = {}, body = Buffer.alloc(0) } = this.#answer(request);
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const start = status === 200 && range !== undefined ? Number(range) : 0;
    const part = body.subarray(start);
    response.writeHead(start > 0 ? 206 : status, {
      ...headers,
      'content-length': part.length,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
    });
    if (request.method === 'HEAD') response.end();
    else await this.#send(part, response);
  }

  async #send(body: Buffer, response: ServerResponse): Promise<void> {
    const isFaulty = this.#random.chance(0.2);
    if (isFaulty && this.#weather === 'lies' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    const end = isFaulty && this.#weather === 'cuts' ? this.#random.below(body.length) : body.length;
    for (let at = 0; at < end; at += PIECE_BYTES) {
      if (response.destroyed) return;
      if (!response.write(body.subarray(at, Math.min(end, at + PIECE_BYTES)))) await drained(response);
    }
    if (end < body.length) response.destroy();
    else response.end();
  }

  #answer({ url = '', headers }: IncomingMessage): Answer {
    if (this.#weather === 'outage') return { status: 503 };
    if (this.#weather === 'limits' && this.#random.chance(0.3)) {
      return { status: 429, headers: { 'retry-after': '1' } };
    }
    const { pathname, searchParams } = new URL(url, this.url);
    if (pathname === '/token') return token(searchParams.get('scope') ?? '');
    const { name = '', kind, reference = '' } = ROUTE.exec(pathname)?.groups ?? {};
    const scope = `repository:${name}:pull`;
    if (headers.authorization !== `Bearer ${scope}`) {
      const challenge = `Bearer realm="${this.url}/token",service="soak",scope="${scope}"`;
      return { status: 401, headers: { 'www-authenticate': challenge } };
    }
    const repository = this.#catalogue.find(name);
    const found = repository && kind ? lookUp(repository, kind, reference) : undefined;
    return found ?? { status: 404 };
  }
}

function lookUp({ name, releases, latest }: Repository, kind: string, reference: string): Answer | undefined {
  if (kind === 'tags') return json({ name, tags: ['latest', ...releases.map(({ tag }) => tag)] });
  if (kind === 'manifests') {
    const digest = reference === 'latest' ? latest.at(-1) : reference;
    const release = releases.find((each) => each.digest === digest || each.tag === digest);
    return release && content(release.manifest, release.digest, MANIFEST_TYPE);
  }
  const blob = releases.flatMap(({ blobs }) => blobs).find(({ digest }) => digest === reference);
  return blob && content(bytesOf(blob), blob.digest, 'application/octet-stream');
}

function content(bytes: Buffer, digest: string, type: string): Answer {
  // A copy: what it sends may be spoilt on the way.
  return {
    status: 200,
    headers: { 'content-type': type, 'docker-content-digest': digest },
    body: Buffer.from(bytes),
  };
}

function json(value: object): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(value)),
  };
}

function token(scope: string): Answer {
  return json({ token: scope, expires_in: 60 });
}

/** Resolves when it takes more, or nothing any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const goOn = () => {
      response.off('drain', goOn).off('close', goOn);
      resolve();
    };
    response.on('drain', goOn).on('close', goOn);
  });
}
