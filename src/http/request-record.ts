/** What is known of a request when it is over: the one source of its log line and of its metrics. */
import type { Request, Response } from 'express';
import type { Source } from '../repository/repository.ts';
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
  /** Bytes of the body that were sent. */
  bytes: number;
  status: number;
  errorCode?: ErrorCode;
  error?: Error;
  /** The client left before it had the whole answer. */
  isAborted: boolean;
  /** Until the headers were sent. */
  firstByteMs?: number;
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

/** Begins a record; `done` gets it once, when the response is finished or its connection is gone. */
export function beginRecord(
  request: Request,
  response: Response,
  id: string,
  done: (record: RequestRecord) => void,
) {
  const startedAt = performance.now();
  const record: RequestRecord = {
    id,
    method: request.method,
    route: 'none',
    bytes: 0,
    status: 0,
    isAborted: false,
    durationMs: 0,
    client: request.socket.remoteAddress,
    userAgent: request.headers['user-agent'],
  };
  records.set(response, record);
  response.once('close', () => {
    record.durationMs = performance.now() - startedAt;
    record.status = response.headersSent ? response.statusCode : 499;
    record.isAborted = !response.writableFinished;
    done(record);
  });
}
