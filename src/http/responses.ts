/** The parts of an answer that several endpoints share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { Served } from '../repository/repository.ts';
import { offerToKeep } from './keepable.ts';

export function sendJson(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: unknown,
  contentType = 'application/json',
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.statusCode = status;
  response.setHeader('Content-Type', contentType);
  sendBytes(request, response, bytes);
}

/** The headers of a HEAD are those of a GET, Content-Length included. */
export function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  served: Pick<Served<object>, 'validity'> = {},
): void {
  response.setHeader('Content-Length', bytes.length);
  const body = request.method === 'HEAD' ? undefined : bytes;
  offerToKeep(request, response, served, body);
  response.end(body);
}

export function setContentHeaders(response: ServerResponse, digest: Digest, mediaType: string): void {
  response.setHeader('Content-Type', mediaType);
  response.setHeader('Docker-Content-Digest', digest);
  response.setHeader('ETag', etagOf(digest));
}

/** Answers 304 where the client has it already (RFC 9110, section 13.1.2), and says whether it did. */
export function sendNotModified(request: IncomingMessage, response: ServerResponse, digest: Digest): boolean {
  const header = request.headers['if-none-match'];
  if (header === undefined || !matchesEtag(header, digest)) return false;
  response.setHeader('ETag', etagOf(digest));
  response.setHeader('Docker-Content-Digest', digest);
  response.statusCode = 304;
  response.end();
  return true;
}

/** A list of tags, weak ones included, or `*`. */
function matchesEtag(header: string, digest: Digest): boolean {
  const tags = header.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.some((tag) => tag === '*' || isEtagOf(digest, tag));
}

/** Some clients send the digest without the quotes. */
export function isEtagOf(digest: Digest, tag: string): boolean {
  return tag === etagOf(digest) || tag === digest;
}

function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** `n` and `last` of a list that comes in pages. Without `n` all of it is wanted, up to `maxPage`. */
export interface Page {
  readonly limit: number;
  readonly after: string | undefined;
}

/** @throws RegistryError PAGINATION_NUMBER_INVALID */
export function parsePage(query: URLSearchParams, maxPage: number): Page {
  const n = query.get('n');
  if (n !== null && !/^\d+$/.test(n)) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', 'n is the number of entries wanted', {
      detail: { n: n.slice(0, 20) },
    });
  }
  const last = query.get('last');
  return {
    limit: n === null ? maxPage : Math.min(Number(n), maxPage),
    after: last === null || last === '' ? undefined : last,
  };
}

/** The next page, relative to the host: what a client called us is not ours to know (RFC 8288; distribution-spec). */
export function setNextLink(
  response: ServerResponse,
  path: string,
  page: Page,
  last: string,
  namespace: string | undefined,
): void {
  const query = new URLSearchParams({ n: String(page.limit), last });
  if (namespace !== undefined) query.set('ns', namespace);
  response.setHeader('Link', `<${path}?${query.toString()}>; rel="next"`);
}
