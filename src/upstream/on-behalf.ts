/** What a host that we ask is told of the request that we ask it for: its id and, where it is traced, its trace. */
import { currentContext } from '../lib/request-context.ts';
import type { HttpRequest } from './http-answer.ts';

export interface OnBehalf {
  readonly headers: Readonly<Record<string, string>>;
  /** Of the request that came in; undefined where we ask of our own accord. */
  readonly requestId: string | undefined;
  /** To be called once, when the head of the answer is here or will not come. */
  readonly ended: (outcome: {
    readonly status?: number | undefined;
    readonly failure?: string | undefined;
  }) => void;
}

export function onBehalf({ method, kind, url, headers }: HttpRequest): OnBehalf {
  const context = currentContext();
  // Of the URL the host alone: that of a CDN is signed, and so a secret.
  const span = context?.span?.begin(`${method} ${kind}`, {
    'http.request.method': method,
    'server.address': url.hostname,
    ...(url.port === '' ? {} : { 'server.port': Number(url.port) }),
    'entrepot.upstream.kind': kind,
  });
  return {
    requestId: context?.id,
    headers: {
      ...headers,
      ...(context === undefined ? {} : { 'x-request-id': context.id }),
      ...span?.headers,
    },
    ended: ({ status, failure }) =>
      span?.end({
        attributes: { 'http.response.status_code': status, 'error.type': failure },
        // 401 is how a token is asked for, and 404 an answer.
        failure: failure ?? (status !== undefined && isFault(status) ? String(status) : undefined),
      }),
  };
}

const isFault = (status: number): boolean => status >= 400 && status !== 401 && status !== 404;
