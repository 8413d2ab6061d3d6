/** A client's request as a trace has it: from its first line to the end of its answer, however it was answered. */
import type { IncomingMessage } from 'node:http';
import type { Span, Tracer } from '../lib/trace.ts';
import type { RequestRecord } from './request-record.ts';

const spans = new WeakMap<IncomingMessage, Span>();

/** @returns what has to hear of the request when it is over, before `observe` does */
export function traced(
  tracer: Tracer,
  request: IncomingMessage,
  observe: (record: RequestRecord) => void,
): (record: RequestRecord) => void {
  const span = spanOf(request) ?? tracer.begin(request.method ?? '', request.headers);
  spans.set(request, span);
  return (record) => {
    endSpan(span, record);
    observe(record);
  };
}

export function spanOf(request: IncomingMessage): Span | undefined {
  return spans.get(request);
}

/** By the names of OpenTelemetry's semantic conventions for HTTP; ours for what they do not know. */
function endSpan(span: Span, record: RequestRecord): void {
  const { method, route, status, client, userAgent, repository, reference, namespace, source, bytes, id } =
    record;
  span.end({
    name: `${method} ${route}`,
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': status,
      'http.response.body.size': bytes,
      'client.address': client,
      'user_agent.original': userAgent,
      'entrepot.request_id': id,
      'entrepot.repository': repository,
      'entrepot.reference': reference,
      'entrepot.namespace': namespace,
      'entrepot.source': source,
      'error.type': record.errorCode,
    },
    // A client's mistake is no failure of ours.
    failure: status >= 500 ? (record.error?.message ?? String(status)) : undefined,
  });
}
