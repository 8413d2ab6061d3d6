/** Where a registry sends us for its bytes, and where we do not let it. */
import { failed, headerOf, type HttpAnswer } from './http-answer.ts';

export const MAX_REDIRECTS = 5;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * @returns undefined where the answer is no redirect
 * @throws UpstreamError `protocol` for one without a usable Location, or away from TLS
 */
export function redirectTarget(answer: HttpAnswer, upstream: URL): URL | undefined {
  if (!REDIRECTS.has(answer.status)) return undefined;
  const location = headerOf(answer, 'location') ?? '';
  const target = location === '' ? null : URL.parse(location, answer.request.url.href);
  if (target === null || !/^https?:$/.test(target.protocol)) {
    throw failed(answer.request, 'protocol', `${answer.status}, without a Location that can be followed`);
  }
  if (target.protocol === 'http:' && upstream.protocol === 'https:') {
    throw failed(answer.request, 'protocol', `${answer.status} to ${target.host} without TLS`);
  }
  target.username = '';
  target.password = '';
  target.hash = '';
  return target;
}
