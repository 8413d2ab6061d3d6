/** Where every failed request ends: in the OCI's JSON, or, once a body is on its way, in a broken connection. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { RegistryError } from '../oci/errors.ts';
import { recordOf } from './request-record.ts';
import { sendJson } from './responses.ts';

/** RFC 9112, section 4. */
const REASON_PHRASE = /^[\t\x20-\x7e]{1,400}$/;

/** Express knows an error handler by its four parameters. */
export function handleError(
  error: unknown,
  request: IncomingMessage,
  response: ServerResponse,
  _next: () => void,
): void {
  const record = recordOf(response);
  record.error = error instanceof Error ? error : new Error(String(error));
  if (error instanceof RegistryError) record.errorCode = error.code;
  if (response.headersSent) {
    breakOff(request, response);
    return;
  }
  const wire = error instanceof RegistryError ? error : internalError();
  for (const header of ['Content-Length', 'Content-Type', 'Docker-Content-Digest', 'ETag', 'Link'])
    response.removeHeader(header);
  // By which whoever runs the mirror finds the line in its log.
  response.setHeader('X-Request-Id', record.id);
  if (wire.retryAfterSeconds !== undefined)
    response.setHeader('Retry-After', Math.ceil(wire.retryAfterSeconds));
  // Another mirror, of which we are the upstream, learns from it that it is not we who fail.
  if (wire.proxyError) response.setHeader('Proxy-Status', `entrepot; error=${wire.proxyError}`);
  // Clients show no more than this of a 5xx: docker, ctr and podman read none of its body.
  if (wire.status >= 500 && REASON_PHRASE.test(wire.message)) response.statusMessage = wire.message;
  sendJson(request, response, wire.status, wire.toWire());
}

/** The only honest end of a body that can't be finished: the client sees that it is short. */
function breakOff(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = response;
  // To HTTP/1.0 (nginx asks by it) a body without a length ends with its connection, unless that is reset. TLS has an end
  // of its own, which a broken connection lacks.
  const wouldLookWhole = request.httpVersion === '1.0' && !response.hasHeader('Content-Length');
  if (wouldLookWhole && socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
  response.destroy();
}

/** What went wrong inside is for the log, not for the client. */
function internalError(): RegistryError {
  return new RegistryError('UNKNOWN', 'the mirror failed; its log has the reason');
}
