/** One question to a registry: authorised, followed through its redirects, and what a refusal means. */
import type { RepositoryName } from '../oci/reference.ts';
import type { Authorization } from './bearer-auth.ts';
import type { Authorizer } from './authorizer.ts';
import { parseChallenges } from './challenge.ts';
import { failed, headerOf, refusalOf, type ExchangeKind, type HttpAnswer } from './http-answer.ts';
import { MAX_REDIRECTS, redirectTarget } from './redirects.ts';
import type { Transport } from './transport.ts';
import type { UpstreamError } from './upstream.ts';

export interface Question {
  readonly kind: Exclude<ExchangeKind, 'token'>;
  readonly method: 'GET' | 'HEAD';
  readonly repository: RepositoryName;
  /** Below the repository, as `manifests/3`. */
  readonly path: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export class Exchange {
  readonly #upstream: URL;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;

  constructor(upstream: URL, transport: Transport, authorizer: Authorizer) {
    this.#upstream = upstream;
    this.#transport = transport;
    this.#authorizer = authorizer;
  }

  /** The answer at the end of all redirects, whatever its status. @throws UpstreamError, or the signal's reason */
  async ask(question: Question): Promise<HttpAnswer> {
    let url = this.#urlOf(question);
    for (let redirects = 0; ; redirects++) {
      question.signal.throwIfAborted();
      const answer = await this.#askAt(url, question);
      const target = redirectTarget(answer, this.#upstream);
      if (target === undefined) return answer;
      if (redirects === MAX_REDIRECTS) {
        throw failed(answer.request, 'protocol', `${answer.status}, after ${MAX_REDIRECTS} other redirects`);
      }
      url = target;
    }
  }

  /** Whether a redirect has led to another origin: a CDN's, or another registry's. */
  isForeign(answer: HttpAnswer): boolean {
    return answer.request.url.origin !== this.#upstream.origin;
  }

  /** What an answer means that is none of those hoped for. */
  refusalOf(answer: HttpAnswer): UpstreamError {
    if (!this.isForeign(answer) && refusesCredentials(answer))
      return failed(answer.request, 'misconfigured', '401, it does not take our credentials');
    const refusal = refusalOf(answer);
    if (refusal.failure !== 'denied' || answer.request.kind !== 'blob' || !this.isForeign(answer))
      return refusal;
    // The signature in a CDN's URL has run out: upstream gives another to whoever asks again.
    return failed(answer.request, 'unreachable', `${answer.status}, its signed URL is no longer good`);
  }

  async #askAt(url: URL, question: Question): Promise<HttpAnswer> {
    const { kind, method, repository, path, signal } = question;
    const target = { url, repository, signal };
    const send = (authorization: Authorization | undefined) =>
      this.#transport.send({
        kind,
        method,
        url,
        headers: {
          ...question.headers,
          ...(authorization === undefined ? {} : { authorization: authorization.header }),
        },
        what: `${repository}/${path}`,
        signal,
      });
    const authorization = await this.#authorizer.authorize(target);
    const answer = await send(authorization);
    // 400, without a challenge, is what ECR Public says to a token that has expired.
    if (answer.status !== 401 && answer.status !== 400) return answer;
    const other = await this.#authorizer.renew(target, authorization, headerOf(answer, 'www-authenticate'));
    // Once: Docker Hub's token service gives a token to everybody, and its registry then denies it.
    return other === undefined ? answer : send(other);
  }

  #urlOf({ repository, path, query }: Question): URL {
    const url = new URL(this.#upstream.origin);
    url.pathname = `${this.#upstream.pathname.replace(/\/+$/, '')}/v2/${repository}/${path}`;
    url.search = query ?? '';
    return url;
  }
}

/**
 * Whether it is what we sent that is refused, and not what we asked for: Basic by RFC 9110, section 15.5.2 (an account
 * that may not read gets 403), a token where the challenge says that it is none (RFC 6750, section 3.1).
 */
function refusesCredentials({ request, status, headers }: HttpAnswer): boolean {
  const sent = request.headers['authorization'];
  if (status !== 401 || sent === undefined) return false;
  const challenges = parseChallenges(headerOf({ headers }, 'www-authenticate') ?? '');
  const isInvalid = challenges.some(({ parameters }) => parameters.get('error') === 'invalid_token');
  return sent.startsWith('Basic ') || isInvalid;
}
