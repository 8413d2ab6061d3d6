/** What a host answered to one request, and what can be made of it: its body, bounded, or an UpstreamError. */
import type { ByteSource } from '../lib/byte-source.ts';
import { readBounded } from './bounded-read.ts';
import { parseRetryAfter } from './rate-limit.ts';
import { UpstreamError, type UpstreamFailure } from './upstream.ts';

export type ExchangeKind = 'manifest' | 'blob' | 'tags' | 'referrers' | 'token';

export interface HttpRequest {
  readonly kind: ExchangeKind;
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** For messages, in place of the URL: that of a CDN is signed, and so a secret. */
  readonly what: string;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly request: HttpRequest;
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Only a 2xx to a GET has its body left: to be read to its end, or destroyed. */
  readonly body: ByteSource;
  /** How the body of any other answer began. */
  readonly text: string;
}

/** Repeated ones are joined, as RFC 9110, section 5.3, has it. */
export function headerOf(answer: Pick<HttpAnswer, 'headers'>, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

export function contentLengthOf(answer: HttpAnswer): number | undefined {
  const text = headerOf(answer, 'content-length') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** @throws UpstreamError where it is longer than that or breaks off, or the signal's reason */
export async function readBody(answer: HttpAnswer, maxBytes: number): Promise<Buffer> {
  const read = await readBounded(answer.body, maxBytes).catch((cause: unknown) => {
    answer.request.signal?.throwIfAborted();
    throw failed(answer.request, 'unreachable', `the answer broke off: ${reasonOf(cause)}`, { cause });
  });
  if (!read.isComplete)
    throw failed(answer.request, 'protocol', `the answer is longer than ${maxBytes} bytes`);
  return read.bytes;
}

/** @throws UpstreamError where they are not JSON */
export function parseJson(answer: HttpAnswer, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Without its cause: V8 quotes the text in it, and that of a token service may be a token.
    throw failed(answer.request, 'protocol', 'the answer is not JSON');
  }
}

/** What a status means that is none of those hoped for; gives up the body, if there is one. */
export function refusalOf(answer: HttpAnswer): UpstreamError {
  const { request, status } = answer;
  answer.body.destroy();
  const said = messageIn(answer.text);
  const text = `${status}${said === undefined ? '' : `, ${said}`}`;
  if (status === 401 || status === 403) {
    const advice = 'there is no such repository, or it wants other credentials than the configured ones';
    return failed(request, 'denied', `${text} (${advice})`);
  }
  if (status === 429) {
    const retryAfterSeconds = parseRetryAfter(headerOf(answer, 'retry-after'), Date.now());
    return failed(request, 'rate-limited', text, { retryAfterSeconds });
  }
  return failed(request, status === 408 || status >= 500 ? 'unreachable' : 'protocol', text);
}

export function failed(
  request: HttpRequest,
  failure: UpstreamFailure,
  text: string,
  options?: ConstructorParameters<typeof UpstreamError>[2],
): UpstreamError {
  return new UpstreamError(
    failure,
    `${request.method} ${request.what} from ${request.url.host}: ${text}`,
    options,
  );
}

/** The text of an error of undici or Node, some of which have only a code. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error instanceof AggregateError && error.message === '') return reasonOf(error.errors[0]);
  return error.message === '' ? error.name : error.message;
}

/** The first error of an OCI error body, fit for a log line. */
function messageIn(text: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined; // A page of a proxy on the way: it says nothing worth repeating.
  }
  const { errors } = (json ?? {}) as { errors?: unknown };
  const { code, message } = ((Array.isArray(errors) ? errors[0] : undefined) ?? {}) as Record<
    string,
    unknown
  >;
  const parts = [code, message].filter((part) => typeof part === 'string' && part !== '');
  if (parts.length === 0) return undefined;
  return parts
    .join(': ')
    .replaceAll(/\p{Cc}+/gu, ' ')
    .slice(0, 200);
}
