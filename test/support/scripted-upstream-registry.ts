/** The registry of the scripted upstream: what a request is answered with, by the rules of Docker Hub. */
import { isDigest, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import type { Auth } from './scripted-upstream-auth.ts';
import type { Cdn } from './scripted-upstream-cdn.ts';
import type { Contents } from './scripted-upstream-content.ts';
import { errorReply, jsonReply, redirectTo, type Reply } from './scripted-upstream-reply.ts';
import type { RecordedRequest } from './scripted-upstream-request.ts';

export interface RegistryOptions {
  /** Default true: blobs are a 307 to another origin. */
  readonly cdn?: boolean;
  /** GETs of manifests until 429 (default 100); `false` is an account without a limit, which gets no headers. */
  readonly pullLimit?: number | false;
  /** Tags on a page where the client names no number; default all. */
  readonly tagsPageSize?: number;
  /** Default true. */
  readonly referrersApi?: boolean;
  /** Default all. */
  readonly referrersPageSize?: number;
  /** How a Link header names the next page; default relative. */
  readonly links?: 'relative' | 'absolute';
}

const WINDOW_SECONDS = 21_600;
const MODERN_TYPES: readonly string[] = Object.values(MEDIA_TYPE);
const API_VERSION = { 'docker-distribution-api-version': 'registry/2.0' };

export class ScriptedRegistry {
  readonly #options: RegistryOptions;
  readonly #contents: Contents;
  readonly #auth: Auth;
  readonly #cdn: Cdn;
  readonly #base: () => string;
  remainingPulls: number;

  constructor(options: RegistryOptions, contents: Contents, auth: Auth, cdn: Cdn, base: () => string) {
    this.#options = options;
    this.#contents = contents;
    this.#auth = auth;
    this.#cdn = cdn;
    this.#base = base;
    this.remainingPulls = options.pullLimit === false ? Infinity : (options.pullLimit ?? 100);
  }

  answer(request: RecordedRequest): Reply {
    const { kind, repository = '', reference = '' } = request;
    const isKnown = this.#contents.has(repository);
    const refusal = this.#auth.refusalOf(request, isKnown, this.#contents.isPrivate(repository));
    if (refusal) return refusal;
    if (request.method !== 'GET' && request.method !== 'HEAD') return errorReply(405, 'UNSUPPORTED');
    // Distribution's router, too, wants the slash.
    if (request.path === '/v2') return redirectTo('/v2/', 301);
    if (kind === 'ping') return jsonReply(200, {}, API_VERSION);
    if (kind === 'catalog') return errorReply(401, 'UNAUTHORIZED', 'authentication required');
    switch (kind) {
      case 'manifest':
        return this.#manifest(request, repository, reference);
      case 'blob':
        return this.#blob(request, repository, reference);
      case 'tags':
        return isKnown
          ? this.#tags(request, repository)
          : errorReply(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      case 'referrers':
        return this.#referrers(request, repository, reference);
      default:
        return notAnEndpoint();
    }
  }

  #manifest(request: RecordedRequest, repository: string, reference: string): Reply {
    const manifest = this.#contents.findManifest(repository, reference);
    if (!manifest || !isAccepted(manifest.mediaType, request.headers.accept ?? '')) {
      return errorReply(404, 'MANIFEST_UNKNOWN', 'manifest unknown', API_VERSION);
    }
    // A HEAD costs nothing and is answered even when nothing remains; a GET costs one, a 304 included.
    if (request.method === 'GET') {
      if (this.remainingPulls <= 0) {
        const message =
          'You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit';
        return errorReply(429, 'TOOMANYREQUESTS', message, this.#rateLimit());
      }
      this.remainingPulls -= 1;
    }
    const etag = `"${manifest.digest}"`;
    const headers = {
      ...API_VERSION,
      ...this.#rateLimit(),
      'content-type': manifest.mediaType,
      'docker-content-digest': manifest.digest,
      etag,
    };
    if (request.headers['if-none-match'] === etag) return { status: 304, headers };
    return { status: 200, headers, body: manifest.bytes };
  }

  #blob(request: RecordedRequest, repository: string, reference: string): Reply {
    if (!isDigest(reference)) return errorReply(400, 'DIGEST_INVALID', 'invalid digest', API_VERSION);
    const bytes = this.#contents.findBlob(repository, reference);
    if (!bytes) return errorReply(404, 'BLOB_UNKNOWN', 'blob unknown to registry', API_VERSION);
    if (request.method === 'GET' && this.#options.cdn !== false) {
      return redirectTo(this.#cdn.sign(reference));
    }
    return { status: 200, headers: blobHeaders(reference), body: bytes, isRangeable: true };
  }

  #tags(request: RecordedRequest, repository: string): Reply {
    const last = request.query.get('last') ?? '';
    const asked = request.query.get('n');
    const size = Math.min(asked === null ? Infinity : Number(asked), this.#options.tagsPageSize ?? Infinity);
    const after = this.#contents.tagsOf(repository).filter((tag) => tag > last);
    const page = after.slice(0, size);
    const next =
      page.length > 0 && page.length < after.length
        ? { link: this.#link(`${request.path}?n=${size}&last=${encodeURIComponent(page.at(-1) ?? '')}`) }
        : {};
    return jsonReply(200, { name: repository, tags: page }, { ...API_VERSION, ...next });
  }

  #referrers(request: RecordedRequest, repository: string, reference: string): Reply {
    if (this.#options.referrersApi === false) return notAnEndpoint();
    if (!isDigest(reference)) return errorReply(400, 'DIGEST_INVALID', 'invalid digest');
    const type = request.query.get('artifactType');
    const all = this.#contents
      .referrersOf(repository, reference)
      .filter((referrer) => type === null || referrer.artifactType === type);
    const start = Number(request.query.get('start') ?? 0);
    const end = start + (this.#options.referrersPageSize ?? Infinity);
    const query = new URLSearchParams({
      ...(type === null ? {} : { artifactType: type }),
      start: String(end),
    });
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    return jsonReply(
      200,
      { schemaVersion: 2, mediaType, manifests: all.slice(start, end) },
      {
        'content-type': mediaType,
        ...(type === null ? {} : { 'oci-filters-applied': 'artifactType' }),
        ...(end < all.length ? { link: this.#link(`${request.path}?${query.toString()}`) } : {}),
      },
    );
  }

  #link(target: string): string {
    return `<${this.#options.links === 'absolute' ? this.#base() : ''}${target}>; rel="next"`;
  }

  #rateLimit(): Record<string, string> {
    const { pullLimit = 100 } = this.#options;
    if (pullLimit === false) return {};
    return {
      'ratelimit-limit': `${pullLimit};w=${WINDOW_SECONDS}`,
      'ratelimit-remaining': `${this.remainingPulls};w=${WINDOW_SECONDS}`,
      'docker-ratelimit-source': '192.0.2.1',
    };
  }
}

/** As Distribution does it: a client that does not name the very type learns of no manifest, whatever its wildcards. */
function isAccepted(mediaType: string, accept: string): boolean {
  const accepted = accept.split(',').map((type) => type.split(';', 1)[0]?.trim());
  return accepted.includes(mediaType) || !MODERN_TYPES.includes(mediaType);
}

function blobHeaders(digest: Digest): Record<string, string> {
  return {
    ...API_VERSION,
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    'cache-control': 'max-age=31536000',
    etag: `"${digest}"`,
  };
}

/** What the router of Distribution says. */
function notAnEndpoint(): Reply {
  return {
    status: 404,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: Buffer.from('404 page not found\n'),
  };
}
