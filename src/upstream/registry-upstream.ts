/**
 * A registry somewhere else, by the OCI distribution-spec: what each endpoint is asked, and what its answers mean. How
 * a question gets through (tokens, redirects, connections) is exchange.ts and below.
 */
import { parseContentRange } from '../lib/byte-range.ts';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import {
  InvalidManifestError,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseManifest,
  referrersIn,
  type Manifest,
  type ReferrerDescriptor,
} from '../oci/manifest.ts';
import { formatReference, isTag, type Reference, type RepositoryName } from '../oci/reference.ts';
import { Authorizer } from './authorizer.ts';
import { BearerAuth } from './bearer-auth.ts';
import type { CredentialsSource } from './credentials.ts';
import { Exchange, type Question } from './exchange.ts';
import { contentLengthOf, failed, headerOf, readBody, type HttpAnswer } from './http-answer.ts';
import { descriptorIn, digestIn, mediaTypeOf } from './manifest-headers.ts';
import { readPages } from './pages.ts';
import { parseRateLimit } from './rate-limit.ts';
import { Transport, type TransportOptions } from './transport.ts';
import type { Circuit, RateLimit, Resolved, Upstream, UpstreamBlob } from './upstream.ts';

export interface RegistryUpstreamOptions extends TransportOptions {
  readonly name: string;
  readonly credentials: CredentialsSource;
}

/** Always all of them: what a client accepts must not decide what is cached. */
const MANIFEST_TYPES = Object.values(MEDIA_TYPE).join(', ');

/** What some registries, and CDNs whose signed URLs are for GET alone, say to a HEAD whose GET they answer. */
const HEAD_MAY_BE_AT_FAULT: readonly number[] = [403, 405, 501];
/** ECR Public says 401 to a HEAD of a blob. Of a manifest it is Docker Hub's word for a repository that is private. */
const HEAD_OF_BLOB_MAY_BE_AT_FAULT: readonly number[] = [...HEAD_MAY_BE_AT_FAULT, 400, 401];

export class RegistryUpstream implements Upstream {
  readonly name: string;
  readonly #transport: Transport;
  readonly #exchange: Exchange;
  readonly #now: () => number;
  #rateLimit: RateLimit | undefined;

  constructor(options: RegistryUpstreamOptions) {
    this.name = options.name;
    this.#now = options.now ?? Date.now;
    this.#transport = new Transport(options);
    const { headersTimeoutMs, bodyTimeoutMs } = options;
    const bearer = new BearerAuth(this.#transport, headersTimeoutMs + bodyTimeoutMs, this.#now);
    const authorizer = new Authorizer({ ...options, upstream: options.url, bearer });
    this.#exchange = new Exchange(options.url, this.#transport, authorizer);
  }

  get rateLimit(): RateLimit | undefined {
    return this.#rateLimit;
  }

  get circuits(): readonly Circuit[] {
    return this.#transport.circuits;
  }

  async resolve(
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Resolved | undefined> {
    const answer = await this.#askForManifest('HEAD', repository, reference, signal);
    if (answer.status === 404) return undefined;
    if (answer.status === 200) {
      const descriptor = descriptorIn(answer, reference);
      if (descriptor !== undefined) return { descriptor };
    } else if (!HEAD_MAY_BE_AT_FAULT.includes(answer.status)) {
      throw this.#exchange.refusalOf(answer);
    }
    const manifest = await this.fetchManifest(repository, reference, signal);
    return manifest && { descriptor: manifest.descriptor, manifest };
  }

  async fetchManifest(
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Manifest | undefined> {
    const answer = await this.#askForManifest('GET', repository, reference, signal);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.#exchange.refusalOf(answer);
    const bytes = await readBody(answer, MAX_MANIFEST_BYTES);
    const expected = reference.kind === 'digest' ? reference.digest : digestIn(answer);
    try {
      return parseManifest(bytes, headerOf(answer, 'content-type') ?? '', expected);
    } catch (cause) {
      if (!(cause instanceof InvalidManifestError)) throw cause;
      throw failed(answer.request, 'protocol', cause.message, { cause });
    }
  }

  async statBlob(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly size: number | undefined } | undefined> {
    const head = await this.#askForBlob('HEAD', repository, digest, undefined, signal);
    if (head.status === 404) return undefined;
    if (head.status === 200) return { size: contentLengthOf(asBlob(head, digest)) };
    if (!HEAD_OF_BLOB_MAY_BE_AT_FAULT.includes(head.status)) throw this.#exchange.refusalOf(head);

    const get = await this.#askForBlob('GET', repository, digest, 'bytes=0-0', signal);
    get.body.destroy();
    if (get.status === 404) return undefined;
    if (get.status === 200) return { size: contentLengthOf(asBlob(get, digest)) };
    if (get.status === 206) return { size: parseContentRange(headerOf(get, 'content-range'))?.size };
    // No blob but the empty one has no first byte.
    if (get.status === 416) return { size: 0 };
    throw this.#exchange.refusalOf(get);
  }

  async fetchBlob(
    repository: RepositoryName,
    digest: Digest,
    offset: number,
    signal: AbortSignal,
  ): Promise<UpstreamBlob | undefined> {
    const range = offset > 0 ? `bytes=${offset}-` : undefined;
    const answer = await this.#askForBlob('GET', repository, digest, range, signal);
    const { status, body } = answer;
    if (status === 404) return undefined;
    if (status === 200) return { size: contentLengthOf(asBlob(answer, digest)), offset: 0, body };
    if (status !== 206) throw this.#exchange.refusalOf(answer);

    const part = parseContentRange(headerOf(asBlob(answer, digest), 'content-range'));
    if (range !== undefined && part?.start === offset) return { size: part.size, offset, body };
    body.destroy();
    throw failed(answer.request, 'protocol', `206 with other bytes than ${range ?? 'all'}`);
  }

  async listTags(repository: RepositoryName, signal: AbortSignal): Promise<readonly string[] | undefined> {
    const question: Question = {
      kind: 'tags',
      method: 'GET',
      repository,
      path: 'tags/list',
      query: 'n=1000',
      signal,
    };
    const first = await this.#exchange.ask(question);
    if (first.status === 404) return undefined;
    let tags: readonly string[] = [];
    for await (const page of readPages(this.#exchange, question, first)) {
      tags = tags.concat(entriesOf(first, tagsIn(page)));
    }
    return tags;
  }

  async listReferrers(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<readonly ReferrerDescriptor[] | undefined> {
    const question: Question = {
      kind: 'referrers',
      method: 'GET',
      repository,
      path: `referrers/${digest}`,
      headers: { accept: MEDIA_TYPE.ociIndex },
      signal,
    };
    const first = await this.#exchange.ask(question);
    if ([400, 401, 403, 404, 405, 501].includes(first.status)) return undefined;
    // Registries without the API answer with what they have for a browser (pkg.dev redirects to a login).
    if (first.status === 200 && mediaTypeOf(first) !== MEDIA_TYPE.ociIndex) {
      first.body.destroy();
      return undefined;
    }
    let referrers: readonly ReferrerDescriptor[] = [];
    for await (const page of readPages(this.#exchange, question, first)) {
      referrers = referrers.concat(entriesOf(first, referrersIn(page)));
    }
    return referrers;
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #askForManifest(
    method: 'GET' | 'HEAD',
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const answer = await this.#exchange.ask({
      kind: 'manifest',
      method,
      repository,
      path: `manifests/${formatReference(reference)}`,
      headers: { accept: MANIFEST_TYPES },
      signal,
    });
    if (!this.#exchange.isForeign(answer)) {
      this.#rateLimit = parseRateLimit(answer.headers, this.#now()) ?? this.#rateLimit;
    }
    return answer;
  }

  #askForBlob(
    method: 'GET' | 'HEAD',
    repository: RepositoryName,
    digest: Digest,
    range: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const headers = range === undefined ? {} : { range };
    return this.#exchange.ask({ kind: 'blob', method, repository, path: `blobs/${digest}`, headers, signal });
  }
}

/**
 * A login page, or another blob, must not pass for a proof that the repository has this one; and a client sees sooner
 * what its bytes would show only at their end.
 * @throws UpstreamError `protocol`
 */
function asBlob(answer: HttpAnswer, digest: Digest): HttpAnswer {
  const said = digestIn(answer);
  const isOther = said !== undefined && said !== digest && algorithmOf(said) === algorithmOf(digest);
  if (mediaTypeOf(answer) !== 'text/html' && !isOther) return answer;
  answer.body.destroy();
  throw failed(
    answer.request,
    'protocol',
    isOther ? `the answer is for ${said}` : 'the answer is a web page',
  );
}

/** @throws UpstreamError `protocol` where a page is no list */
function entriesOf<T>(answer: HttpAnswer, entries: readonly T[] | undefined): readonly T[] {
  if (entries) return entries;
  throw failed(answer.request, 'protocol', 'the answer is JSON, but no list');
}

/** Entries that are no tags are left out: nobody can ask for them. Of none, registries say `null`, or the name alone. */
function tagsIn(page: unknown): string[] | undefined {
  if (typeof page !== 'object' || page === null) return undefined;
  const { name, tags = name === undefined ? undefined : [] } = page as { name?: unknown; tags?: unknown };
  if (tags === null) return [];
  return Array.isArray(tags)
    ? tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
    : undefined;
}
