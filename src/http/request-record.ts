/** What is known of a request when it is over: the one source of its log line and of its metrics. */
import type { Request, Response } from 'express';
import type { Served, Source } from '../repository/repository.ts';
import type { ErrorCode } from '../oci/errors.ts';

export type RouteKind = 'ping' | 'catalog' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'none';

/** Filled in by the handlers as they learn it. */
export interface RequestRecord {
  readonly id: string;
  readonly method: string;
  route: RouteKind;
  repository?: string;
  /** A tag or a digest. */
  reference?: string;
  namespace?: string;
  source?: Source;
  /** Why the answer is an old one, where it is. */
  staleBecause?: Error;
  /** Of the body, as many as were handed to the connection; about as many, where it broke. */
  bytes: number;
  status: number;
  errorCode?: ErrorCode;
  error?: Error;
  /** The client left before it had the whole answer. */
  isAborted: boolean;
  durationMs: number;
  readonly client: string | undefined;
  readonly userAgent: string | undefined;
}

const records = new WeakMap<Response, RequestRecord>();

export function recordOf(response: Response): RequestRecord {
  const record = records.get(response);
  if (!record) throw new Error('the request has no record: the log stands first in the router');
  return record;
}

/** Notes how the request was served. */
export function recordServed(response: Response, { source, staleBecause }: Served<object>): void {
  const record = recordOf(response);
  record.source = source;
  if (staleBecause) record.staleBecause = staleBecause;
}

/** Begins a record; `done` gets it once, when the response is finished or its connection is gone. */
export function beginRecord(
  request: Request,
  response: Response,
  id: string,
  done: (record: RequestRecord) => void,
) {
  const startedAt = performance.now();
  const { socket } = request;
  const sentBefore = socket.bytesWritten;
  const record: RequestRecord = {
    id,
    method: request.method,
    route: 'none',
    bytes: 0,
    status: 0,
    isAborted: false,
    durationMs: 0,
    client: socket.remoteAddress,
    userAgent: request.headers['user-agent'],
  };
  records.set(response, record);
  response.once('close', () => {
    record.durationMs = performance.now() - startedAt;
    record.status = response.headersSent ? response.statusCode : 499;
    record.isAborted = !response.writableFinished;
    record.bytes = bodyBytes(request.method, response, socket.bytesWritten - sentBefore);
    done(record);
  });
}

function bodyBytes(method: string, response: Response, bytesOnSocket: number): number {
  if (!response.headersSent || method === 'HEAD' || response.statusCode === 304) return 0;
  const length = Number(response.getHeader('Content-Length') ?? Infinity);
  if (response.writableFinished && length !== Infinity) return length;
  // A name, a value and four characters for each header, and as much again for the status line and what Node.js adds.
  const headers = Object.entries(response.getHeaders()).map(
    ([name, value]) => `${name}: ${String(value)}\r\n`,
  );
  return Math.min(length, Math.max(0, bytesOnSocket - headers.join('').length - 100));
}
