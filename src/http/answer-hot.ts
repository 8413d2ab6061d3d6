/** Answers a request at once, where its answer is at hand: before the router, which costs several times as much. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from '../oci/digest.ts';
import { targetOf, type HotAnswers, type KeptAnswer } from './hot-answers.ts';
import { bytesBehindHead, endRecord, newRecord, originOf, type RequestRecord } from './request-record.ts';

export interface HotAnswering {
  readonly answers: HotAnswers;
  /** Notes that it was used. */
  readonly touch: (digest: Digest) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Hears of each request once, when it is over. */
  readonly observe: (record: RequestRecord) => void;
}

/**
 * Says whether it did. Where it did not, nothing was done to the response.
 * @param done in place of `hot.observe`, for this request
 */
export function answerHot(
  request: IncomingMessage,
  response: ServerResponse,
  hot: HotAnswering,
  done = hot.observe,
): boolean {
  if (!isPlain(request)) return false;
  const kept = hot.answers.find(targetOf(request), hot.now());
  if (!kept) return false;
  const sent = observe(request, response, kept, done);
  const { headers, body, validity } = kept;
  if (validity.touches !== undefined) hot.touch(validity.touches);
  response.writeHead(200, headers);
  response.end(body, 'latin1');
  sent();
  return true;
}

/** What is conditional, partial or brings a body is for the router. */
function isPlain({ method, headers }: IncomingMessage): boolean {
  return (
    (method === 'GET' || method === 'HEAD') &&
    headers['if-none-match'] === undefined &&
    headers.range === undefined &&
    headers['if-range'] === undefined &&
    !hasBody(headers)
  );
}

export function hasBody(headers: IncomingMessage['headers']): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The same as of a request that goes through the router. What it returns is to be called when the answer is written. */
function observe(
  request: IncomingMessage,
  response: ServerResponse,
  kept: KeptAnswer,
  done: HotAnswering['observe'],
): () => void {
  const startedAt = performance.now();
  const { socket } = request;
  const sentBefore = socket.bytesWritten;
  const record = newRecord(request, originOf(request), kept.record);
  response.once('close', () => {
    endRecord(record, response, startedAt, bodyBytes(response, kept, socket.bytesWritten - sentBefore));
    done(record);
  });
  return () => (record.firstByteMs = performance.now() - startedAt);
}

function bodyBytes(response: ServerResponse, { body }: KeptAnswer, bytesOnSocket: number): number {
  if (response.writableFinished) return body.length;
  return Math.min(body.length, bytesBehindHead(response, bytesOnSocket));
}
