/** Where every failed request ends: in the OCI's JSON, or, once a body is on its way, in a broken connection. */
import type { NextFunction, Request, Response } from 'express';
import { RegistryError } from '../oci/errors.ts';
import { recordOf } from './request-record.ts';
import { sendJson } from './responses.ts';

/** Express knows an error handler by its four parameters. */
export function handleError(error: unknown, request: Request, response: Response, _next: NextFunction): void {
  const record = recordOf(response);
  record.error = error instanceof Error ? error : new Error(String(error));
  if (error instanceof RegistryError) record.errorCode = error.code;
  if (response.headersSent) {
    // The only honest end of a body that can't be finished: the client sees that it is short.
    response.destroy();
    return;
  }
  const wire = error instanceof RegistryError ? error : internalError();
  for (const header of ['Content-Length', 'Content-Type', 'Docker-Content-Digest', 'ETag', 'Link'])
    response.removeHeader(header);
  if (wire.retryAfterSeconds !== undefined)
    response.setHeader('Retry-After', Math.ceil(wire.retryAfterSeconds));
  sendJson(request, response, wire.status, wire.toWire());
}

/** What went wrong inside is for the log, not for the client. */
function internalError(): RegistryError {
  return new RegistryError('UNKNOWN', 'the mirror failed; its log has the reason');
}
