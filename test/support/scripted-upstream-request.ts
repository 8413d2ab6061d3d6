/** What the scripted upstream keeps of each request, and how a test says which requests it means. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export type Origin = 'registry' | 'token' | 'cdn';
export type RequestKind =
  'ping' | 'catalog' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'cdn' | 'other';

export interface RecordedRequest {
  readonly origin: Origin;
  readonly kind: RequestKind;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly repository: string | undefined;
  /** Tag or digest; also the digest of a blob that is asked of the CDN. */
  readonly reference: string | undefined;
  /** What it was answered with; undefined until then. */
  status: number | undefined;
}

/** All that is given must hold. */
export interface Match {
  readonly origin?: Origin;
  readonly kind?: RequestKind;
  readonly method?: string;
  readonly repository?: string;
  readonly reference?: string;
  readonly status?: number;
  readonly where?: (request: RecordedRequest) => boolean;
}

export function matches(request: RecordedRequest, match: Match): boolean {
  const { where, ...fields } = match;
  const isEqual = (key: keyof typeof fields) => fields[key] === undefined || fields[key] === request[key];
  return (Object.keys(fields) as (keyof typeof fields)[]).every(isEqual) && (where?.(request) ?? true);
}

export function recordRequest(origin: Origin, message: IncomingMessage): RecordedRequest {
  const { pathname, searchParams } = new URL(message.url ?? '/', 'http://upstream.invalid');
  const path = decodeURIComponent(pathname);
  return {
    origin,
    ...targetOf(origin, path),
    method: message.method ?? '',
    path,
    query: searchParams,
    headers: message.headers,
    status: undefined,
  };
}

function targetOf(origin: Origin, path: string): Pick<RecordedRequest, 'kind' | 'repository' | 'reference'> {
  const nowhere = { repository: undefined, reference: undefined };
  if (origin === 'token') return { kind: 'token', ...nowhere };
  if (origin === 'cdn') {
    const [, algorithm = '', hex = ''] = /\/blobs\/(\w+)\/\w\w\/(\w+)\/data$/.exec(path) ?? [];
    return { kind: 'cdn', repository: undefined, reference: `${algorithm}:${hex}` };
  }
  if (path === '/v2/' || path === '/v2') return { kind: 'ping', ...nowhere };
  if (path === '/v2/_catalog') return { kind: 'catalog', ...nowhere };
  const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path);
  if (!match) return { kind: 'other', ...nowhere };
  const [, repository, keyword, reference] = match;
  const kinds = { manifests: 'manifest', blobs: 'blob', tags: 'tags', referrers: 'referrers' } as const;
  return { kind: kinds[keyword as keyof typeof kinds], repository, reference };
}
