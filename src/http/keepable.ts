/** Where the handlers hand over an answer that may be given again, when it is ready to be sent. */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Served } from '../repository/repository.ts';
import { targetOf, type Keep } from './hot-answers.ts';
import { recordOf } from './request-record.ts';

const keeps = new WeakMap<ServerResponse, Keep>();

/** Has `keep` take the answer, if it turns out to be one that may be given again. */
export function keepAnswer(response: ServerResponse, keep: Keep): void {
  keeps.set(response, keep);
}

/**
 * To be called when all headers are set, Content-Length included, and nothing is sent yet. Does nothing with an answer
 * that may not be given again. The body is that of a GET, and whole.
 */
export function offerToKeep(
  request: IncomingMessage,
  response: ServerResponse,
  { validity }: Pick<Served<object>, 'validity'>,
  body?: Uint8Array,
): void {
  const keep = keeps.get(response);
  // One that ends its connection is about that, too.
  if (!keep || !validity || response.statusCode !== 200 || response.hasHeader('Connection')) return;
  if (!PLAIN_TARGET.test(request.url ?? '')) return;
  const { route, repository, reference, namespace, source } = recordOf(response);
  // Every outgoing message has it; only those of a client have it in the types.
  const names = (response as ServerResponse & Pick<ClientRequest, 'getRawHeaderNames'>).getRawHeaderNames();
  const headers = names.flatMap((name) => [name, String(response.getHeader(name) as string | number)]);
  keep(
    response,
    targetOf(request),
    { headers, validity, record: { route, repository, reference, namespace, source } },
    body,
  );
}

/** As clients write them. By any other query or escape whoever likes could fill the memory with one and the same answer. */
const PLAIN_TARGET = /^(?:[^?%]|%3A)*(?:\?ns=(?:[\w.:-]|%3A)+)?$/i;
