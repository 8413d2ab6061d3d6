/** The registry listener's application: what each request meets, in order, and which handler answers it. */
import type { IncomingMessage, RequestListener } from 'node:http';
import express, { type NextFunction, type Request, type Response } from 'express';
import { inContext } from '../lib/request-context.ts';
import type { Tracer } from '../lib/trace.ts';
import { RegistryError } from '../oci/errors.ts';
import { formatReference } from '../oci/reference.ts';
import { parseRoute } from '../oci/route.ts';
import type { Repositories } from '../repository/repositories.ts';
import { answerHot, hasBody, type HotAnswering } from './answer-hot.ts';
import { getBlob, headBlob } from './blob-handlers.ts';
import type { Deliver } from './delivery.ts';
import { handleError } from './error-handler.ts';
import type { AnswerKeeper } from './hot-answers.ts';
import { keepAnswer } from './keepable.ts';
import { catalog, manifest, ping, referrers, tags, type Exchange } from './registry-handlers.ts';
import { beginRecord, originOf, recordOf, type Origin, type RequestRecord } from './request-record.ts';
import { spanOf, traced } from './traced.ts';

export interface RegistryAppOptions {
  readonly repositories: Repositories;
  /** Another one after each start. */
  readonly instance: string;
  /** Hears of each request once, when it is over. */
  readonly observe: (record: RequestRecord) => void;
  /** Answers that are given before all else. */
  readonly hot?: Omit<HotAnswering, 'observe'>;
  /** Where answers go that may be given again. */
  readonly keeper?: AnswerKeeper;
  /** Whose request it is, where not whoever is at the other end of its connection. */
  readonly origin?: (request: IncomingMessage) => Origin;
  /** Where there are traces. */
  readonly tracer?: Tracer | undefined;
  /** Who sends blobs of the store in our place. */
  readonly deliver?: Deliver;
}

export function createRegistryApp(options: RegistryAppOptions): RequestListener {
  const {
    repositories,
    instance,
    observe,
    keeper,
    tracer,
    origin = originOf,
    deliver = byOurselves,
  } = options;
  const hot = options.hot && { ...options.hot, observe };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((request: Request, response: Response, next: NextFunction) => {
    const who = origin(request);
    beginRecord(request, response, who, tracer ? traced(tracer, request, observe) : observe);
    if (keeper) keepAnswer(response, keeper.begin());
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    // A body that nobody asked for is not read: the connection ends with the answer.
    if (hasBody(request.headers)) response.setHeader('Connection', 'close');
    if (request.method !== 'GET' && request.method !== 'HEAD') throw notSupported(request, response);
    inContext({ id: who.id, span: spanOf(request) }, next);
  });
  const parts = { repositories, instance, deliver };
  app.use((request: Request, response: Response) => dispatch(request, response, parts));
  app.use(handleError);
  return (request, response) => {
    const done = tracer && traced(tracer, request, observe);
    if (hot && answerHot(request, response, hot, done)) return;
    // Before Express: a target that it can't parse, it answers with a page of its own, and nobody hears of it.
    request.url = originForm(request.url ?? '/');
    app(request, response);
  };
}

const byOurselves = () => undefined;

async function dispatch(
  request: Request,
  response: Response,
  {
    repositories,
    instance,
    deliver,
  }: Pick<Required<RegistryAppOptions>, 'repositories' | 'instance' | 'deliver'>,
): Promise<void> {
  const { path, query } = splitTarget(request.url);
  const exchange: Exchange = { request, response, path, query };
  const route = parseRoute(path);
  const record = recordOf(response);
  record.route = route.kind;
  if (route.kind === 'ping') {
    ping(exchange, instance);
    return;
  }
  if (route.kind === 'catalog') return catalog(exchange, repositories);

  const namespace = query.get('ns') ?? undefined;
  record.repository = route.name;
  if (namespace !== undefined) record.namespace = namespace.slice(0, 255);
  if (route.kind === 'manifest') record.reference = formatReference(route.reference);
  else if (route.kind !== 'tags') record.reference = route.digest;

  const repository = repositories.find({ name: route.name, prefix: route.prefix, namespace });
  // It names a configured upstream, so it is nothing that could harm a header.
  if (namespace !== undefined) response.setHeader('OCI-Namespace', namespace);
  switch (route.kind) {
    case 'manifest':
      return manifest(exchange, repository, route.reference);
    case 'blob':
      return request.method === 'HEAD'
        ? headBlob(request, response, repository, route.digest)
        : getBlob(request, response, repository, route.digest, deliver);
    case 'tags':
      return tags(exchange, route.name, repository);
    case 'referrers':
      return referrers(exchange, repository, route.digest);
  }
}

/** From the absolute form, which every server has to take (RFC 9112, section 3.2.2); whose name it has is all the same. */
function originForm(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}

function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const mark = target.indexOf('?');
  if (mark === -1) return { path: target, query: new URLSearchParams() };
  return { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark + 1)) };
}

function notSupported(request: Request, response: Response): RegistryError {
  // What was to be written, for the log: the path alone, for a query may hold what is secret.
  recordOf(response).reference = splitTarget(request.url).path.slice(0, 255);
  response.setHeader('Allow', 'GET, HEAD');
  return new RegistryError('UNSUPPORTED', 'this is a mirror: it takes no pushes and no deletes');
}
