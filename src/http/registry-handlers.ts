/** The endpoints that are not blobs: ping, manifests, tags, referrers, catalog. All answer GET and HEAD. */
import type { Request, Response } from 'express';
import { MEDIA_TYPE, type ReferrerDescriptor } from '../oci/manifest.ts';
import type { Reference } from '../oci/reference.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repositories } from '../repository/repositories.ts';
import type { Repository, Validity } from '../repository/repository.ts';
import { offerToKeep } from './keepable.ts';
import { recordServed } from './request-record.ts';
import {
  parsePage,
  sendBytes,
  sendJson,
  sendNotModified,
  setContentHeaders,
  setNextLink,
} from './responses.ts';

/** What is asked for and by which path; the query is parsed once. */
export interface Exchange {
  readonly request: Request;
  readonly response: Response;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** More entries than that come in pages (CVE-2023-2253: an `n` without bounds). */
const MAX_CATALOG_PAGE = 1000;
/** Clients that ask without `n` expect all tags at once; the largest repositories have some ten thousand. */
const MAX_TAGS_PAGE = 100_000;

const PING_BODY = Buffer.from('{}');
/** Of what rests on nothing. */
const ALWAYS: Validity = { since: 0, until: Number.MAX_SAFE_INTEGER, keys: [] };

/** @param instance which process it is: whoever wants to know whether a client really asks this one can tell */
export function ping({ request, response }: Exchange, instance: string): void {
  response.setHeader('X-Entrepot-Instance', instance);
  response.setHeader('Content-Type', 'application/json');
  // Any prefix and any query get the same answer; kept is only what clients ask for.
  sendBytes(request, response, PING_BODY, request.url === '/v2/' ? { validity: ALWAYS } : {});
}

export async function catalog(
  { request, response, path, query }: Exchange,
  repositories: Repositories,
): Promise<void> {
  const page = parsePage(query, MAX_CATALOG_PAGE);
  const found = await repositories.list(page.after, page.limit + 1);
  const names = found.slice(0, page.limit);
  const last = names.at(-1);
  if (found.length > names.length && last !== undefined) setNextLink(response, path, page, last, undefined);
  sendJson(request, response, 200, { repositories: names });
}

export async function manifest(
  { request, response }: Exchange,
  repository: Repository,
  reference: Reference,
) {
  if (request.method === 'HEAD') {
    const served = await repository.resolve(reference);
    recordServed(response, served);
    const { descriptor } = served;
    if (sendNotModified(request, response, descriptor.digest)) return;
    setContentHeaders(response, descriptor.digest, descriptor.mediaType);
    response.setHeader('Content-Length', descriptor.size);
    offerToKeep(request, response, served);
    response.end();
    return;
  }
  const served = await repository.manifest(reference);
  recordServed(response, served);
  const { descriptor, bytes } = served;
  if (sendNotModified(request, response, descriptor.digest)) return;
  setContentHeaders(response, descriptor.digest, descriptor.mediaType);
  sendBytes(request, response, bytes, served);
}

export async function tags(
  { request, response, path, query }: Exchange,
  name: string,
  repository: Repository,
) {
  const page = parsePage(query, MAX_TAGS_PAGE);
  const served = await repository.tags();
  recordServed(response, served);
  const all = served.tags;
  const { after } = page;
  const rest = after === undefined ? all : all.filter((tag) => tag > after);
  const shown = rest.slice(0, page.limit);
  const last = shown.at(-1);
  const namespace = query.get('ns') ?? undefined;
  if (rest.length > shown.length && last !== undefined) setNextLink(response, path, page, last, namespace);
  sendJson(request, response, 200, { name, tags: shown });
}

export async function referrers(
  { request, response, query }: Exchange,
  repository: Repository,
  digest: Digest,
) {
  const served = await repository.referrers(digest);
  recordServed(response, served);
  // No media type has a space: it was a plus (`application/spdx+json`), which not every client encodes. containerd asks
  // for several types at once.
  const artifactTypes = query.getAll('artifactType').map((type) => type.replaceAll(' ', '+'));
  if (artifactTypes.length > 0) response.setHeader('OCI-Filters-Applied', 'artifactType');
  const isWanted = ({ artifactType = '' }: ReferrerDescriptor) =>
    artifactTypes.length === 0 || artifactTypes.includes(artifactType);
  const manifests = served.referrers.filter(isWanted);
  sendJson(
    request,
    response,
    200,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
    MEDIA_TYPE.ociIndex,
  );
}
