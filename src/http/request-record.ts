/** What is known of a request when it is over: the one source of its log line and of its metrics. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sentBeside } from '../lib/beside.ts';
import type { Served, Source } from '../repository/repository.ts';
import type { ErrorCode } from '../oci/errors.ts';

export type RouteKind = 'ping' | 'catalog' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'none';

/** What a request was found to ask for, and how it was served. */
export interface Asked {
  route: RouteKind;
  repository?: string | undefined;
  /** A tag or a digest. */
  reference?: string | undefined;
  namespace?: string | undefined;
  source?: Source | undefined;
}

/** Filled in by the handlers as they learn it. */
export interface RequestRecord extends Asked {
  readonly id: string;
  /** The one that the client gave it: another mirror, perhaps, of which we are the upstream. */
  readonly clientRequestId?: string | undefined;
  readonly method: string;
  /** Why the answer is an old one, where it is. */
  staleBecause?: Error;
  /** Of the body, as many as were handed to the connection. */
  bytes: number;
  status: number;
  errorCode?: ErrorCode;
  error?: Error;
  /** The client left before it had the whole answer. */
  isAborted: boolean;
  durationMs: number;
  /** When the head of the answer went out; none did without it. */
  firstByteMs?: number | undefined;
  readonly client: string | undefined;
  readonly userAgent: string | undefined;
}

const records = new WeakMap<ServerResponse, RequestRecord>();

export function recordOf(response: ServerResponse): RequestRecord {
  const record = records.get(response);
  if (!record) throw new Error('the request has no record: the log stands first in the router');
  return record;
}

/** Notes how the request was served. */
export function recordServed(response: ServerResponse, { source, staleBecause }: Served<object>): void {
  const record = recordOf(response);
  record.source = source;
  if (staleBecause) record.staleBecause = staleBecause;
}

/** Which request it is and who asks. */
export type Origin = Pick<RequestRecord, 'id' | 'client'>;

export function originOf({ socket }: IncomingMessage): Origin {
  return { id: randomUUID(), client: socket.remoteAddress };
}

export function newRecord(
  request: IncomingMessage,
  { id, client }: Origin,
  { route, repository, reference, namespace, source }: Asked,
): RequestRecord {
  return {
    id,
    clientRequestId: idIn(request.headers['x-request-id']),
    method: request.method ?? '',
    route,
    repository,
    reference,
    namespace,
    source,
    bytes: 0,
    status: 0,
    isAborted: false,
    durationMs: 0,
    client,
    userAgent: request.headers['user-agent'],
  };
}

/** What is no plain id is not worth a place in the log. */
function idIn(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\w.:-]{1,64}$/.test(header) ? header : undefined;
}

/** Begins a record; `done` gets it once, when the response is finished or its connection is gone. */
export function beginRecord(
  request: IncomingMessage,
  response: ServerResponse,
  origin: Origin,
  done: (record: RequestRecord) => void,
): void {
  const startedAt = performance.now();
  const { socket } = request;
  const sentBefore = socket.bytesWritten + sentBeside(socket);
  const record = newRecord(request, origin, { route: 'none' });
  records.set(response, record);
  const writeHead = response.writeHead.bind(response) as (...head: unknown[]) => ServerResponse;
  // Node.js calls it for every answer, at the moment at which it begins to send it.
  response.writeHead = (...head: unknown[]) => {
    record.firstByteMs = performance.now() - startedAt;
    return writeHead(...head);
  };
  response.once('close', () => {
    const sent = socket.bytesWritten + sentBeside(socket) - sentBefore;
    endRecord(record, response, startedAt, bodyBytes(record.method, response, sent));
    done(record);
  });
}

/** To be called when the response is finished or its connection is gone. */
export function endRecord(
  record: RequestRecord,
  response: ServerResponse,
  startedAt: number,
  bytes: number,
): void {
  record.durationMs = performance.now() - startedAt;
  record.status = response.headersSent ? response.statusCode : 499;
  record.isAborted = !response.writableFinished;
  record.bytes = bytes;
}

function bodyBytes(method: string, response: ServerResponse, bytesOnSocket: number): number {
  if (!response.headersSent || method === 'HEAD' || response.statusCode === 304) return 0;
  const length = Number(response.getHeader('Content-Length') ?? Infinity);
  if (response.writableFinished && length !== Infinity) return length;
  return Math.min(length, bytesBehindHead(response, bytesOnSocket));
}

/** @param bytesOnSocket of the whole answer, as far as it went */
export function bytesBehindHead(response: ServerResponse, bytesOnSocket: number): number {
  // As it went out: what it was made of does not tell its length, for Node.js adds lines of its own.
  const { _header: head } = response as unknown as { readonly _header?: string | null };
  return Math.max(0, bytesOnSocket - (head?.length ?? 0));
}
