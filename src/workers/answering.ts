/**
 * What a worker does with a client's request: answers it from memory, or passes it on to the keeper and the keeper's
 * answer back. Of a stored blob the keeper says only which bytes; the worker sends them from the file.
 */
import { Agent, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { BlobReadError, type BlobContent, type BlobStore } from '../blobs/blob-store.ts';
import { answerHot, hasBody, type HotAnswering } from '../http/answer-hot.ts';
import { handleError } from '../http/error-handler.ts';
import { targetOf, type HotAnswer, type Keep } from '../http/hot-answers.ts';
import { beginRecord, originOf, recordOf } from '../http/request-record.ts';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet, SinkClosedError } from '../lib/outlet.ts';
import { parseDigest } from '../oci/digest.ts';
import { HEADERS, type Ending, type KeeperAddress } from './messages.ts';
import { askKeeper, copyHead, headerOf, PART_HEADERS, type Ask } from './passing.ts';

export interface AnsweringOptions {
  readonly worker: number;
  readonly hot: HotAnswering;
  readonly keeper: KeeperAddress;
  readonly files: Pick<BlobStore, 'open'>;
  /** Hears of each request that was passed on, once, when it is over. */
  readonly onEnded: (ending: Ending) => void;
}

/** What the keeper says of an answer that may be given again. */
export interface Keepable {
  readonly target: string;
  readonly answer: HotAnswer;
}

/** For so long a connection to the keeper is kept that nothing is asked on. It is we who close it: no question gets lost. */
const IDLE_MS = 2000;

export class Answering {
  readonly #options: AnsweringOptions;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64, timeout: IDLE_MS });

  constructor(options: AnsweringOptions) {
    this.#options = options;
  }

  readonly listener: RequestListener = (request, response) => {
    const { hot } = this.#options;
    if (answerHot(request, response, hot)) return;
    const keep = hot.answers.begin();
    beginRecord(request, response, originOf(request), (record) => {
      const { id, method, status, bytes, isAborted, durationMs, firstByteMs, client, userAgent } = record;
      const ending = { id, method, status, bytes, isAborted, durationMs, firstByteMs, client, userAgent };
      this.#options.onEnded({ ...ending, failure: record.error?.stack });
    });
    if (hasBody(request.headers)) response.setHeader('Connection', 'close');
    this.#pass(request, response, keep).catch((error: unknown) => {
      // Whoever has left needs no answer, and is no fault.
      if (!response.destroyed) handleError(error, request, response, () => undefined);
    });
  };

  close(): void {
    this.#agent.destroy();
  }

  async #pass(request: IncomingMessage, response: ServerResponse, keep: Keep): Promise<void> {
    const leaving = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) leaving.abort(new SinkClosedError());
    });
    try {
      await this.#answer(request, response, keep, leaving.signal);
    } catch (error) {
      // A keeper's answer that is not read would keep its connection.
      leaving.abort(error);
      throw error;
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    keep: Keep,
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#ask(request, response, signal, { [HEADERS.file]: 'yes' });
    copyHead(answer, response);
    const file = headerOf(answer, 'file');
    const keepable = headerOf(answer, 'keep');
    if (file !== undefined) {
      await this.#sendFile(request, response, answer, parseFile(file), signal);
    } else if (keepable !== undefined) {
      await keepAndSend(request, response, answer, JSON.parse(keepable) as Keepable, keep);
      return;
    } else if (request.method !== 'HEAD') await passBody(answer, response);
    response.end();
    answer.resume();
  }

  #ask(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    headers: Ask['headers'],
    without?: Ask['without'],
  ): Promise<IncomingMessage> {
    const { id, client } = recordOf(response);
    const { worker, keeper } = this.#options;
    return askKeeper(request, {
      ...{ agent: this.#agent, keeper, signal, ...(without ? { without } : {}) },
      headers: { [HEADERS.id]: id, [HEADERS.worker]: String(worker), [HEADERS.client]: client, ...headers },
    });
  }

  /** Meanwhile the keeper's answer stays open: for so long nobody evicts the blob. */
  async #sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    answer: IncomingMessage,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<void> {
    response.setHeader('Content-Length', range.end - range.start);
    const content = await this.#open(answer);
    try {
      await content?.sendTo(response, range);
      if (content) return;
      await this.#sendRest(request, response, range, signal);
    } catch (error) {
      if (!(error instanceof BlobReadError)) throw error;
      await this.#sendRest(request, response, { start: error.position, end: range.end }, signal);
    } finally {
      await content?.close();
    }
  }

  /** What can't be opened or read here, the keeper finds out about, and knows where else to get it from. */
  async #open(answer: IncomingMessage): Promise<BlobContent | undefined> {
    const digest = parseDigest(String(answer.headers['docker-content-digest']));
    return this.#options.files.open(digest).catch(() => undefined);
  }

  async #sendRest(
    request: IncomingMessage,
    response: ServerResponse,
    { start, end }: ByteRange,
    signal: AbortSignal,
  ): Promise<void> {
    const headers = { [HEADERS.rest]: 'yes', Range: `bytes=${start}-${end - 1}` };
    const rest = await this.#ask(request, response, signal, headers, PART_HEADERS);
    if (!response.headersSent) {
      // All of it, and where it can't be had either, the reason.
      for (const name of response.getHeaderNames()) if (name !== 'connection') response.removeHeader(name);
      copyHead(rest, response);
    } else if (rest.statusCode !== 206)
      throw new Error(`the keeper answers ${rest.statusCode ?? ''} for the rest of a blob`);
    await passBody(rest, response);
  }
}

async function keepAndSend(
  request: IncomingMessage,
  response: ServerResponse,
  answer: IncomingMessage,
  { target, answer: plain }: Keepable,
  keep: Keep,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  // Not of the pool, whose parts keep each other alive.
  const body = Buffer.allocUnsafeSlow(whole.length);
  whole.copy(body);
  // One that asked for the same in another form would fill the memory with it once more.
  if (target === targetOf(request))
    keep(response, target, plain, request.method === 'HEAD' ? undefined : body);
  response.end(body);
}

async function passBody(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  // The client hears at once that it is coming, however long the first byte takes.
  if (answer.headers['content-length'] !== '0') response.flushHeaders();
  using outlet = new Outlet(response);
  for await (const chunk of answer) await outlet.write(chunk as Buffer);
}

function parseFile(text: string): ByteRange {
  const [start, end] = text.split('-').map(Number);
  if (start === undefined || end === undefined) throw new Error(`the keeper names no bytes: ${text}`);
  return { start, end };
}
