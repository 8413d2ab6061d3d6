/**
 * Which endpoint of the OCI distribution-spec a request is for. Names contain slashes, and components may be called
 * `manifests` or `blobs`, so paths are read from the right; no pattern of a web framework can do that.
 */
import { parseDigest, type Digest } from './digest.ts';
import { RegistryError } from './errors.ts';
import { parseReference, parseRepositoryName, type Reference, type RepositoryName } from './reference.ts';

/** Where in which registry: the name as it stands behind `/v2/`, and what stood before that, if anything. */
interface RepositoryPath {
  readonly name: RepositoryName;
  /** From a mirror URL with a path, as dockerd and containerd send it: `/docker.io/v2/library/alpine/...`. */
  readonly prefix: string | undefined;
}

export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog' }
  | ({ readonly kind: 'manifest'; readonly reference: Reference } & RepositoryPath)
  | ({ readonly kind: 'blob'; readonly digest: Digest } & RepositoryPath)
  | ({ readonly kind: 'tags' } & RepositoryPath)
  | ({ readonly kind: 'referrers'; readonly digest: Digest } & RepositoryPath);

/** A name of 255, a reference of 135, a prefix of 255, and what stands between, is well below that. */
const MAX_PATH_LENGTH = 1024;

/**
 * @param path the request's path as it came, not decoded, without the query
 * @throws RegistryError NAME_INVALID, TAG_INVALID, DIGEST_INVALID, or a 404 for a path that is no endpoint
 */
export function parseRoute(path: string): Route {
  const { prefix, rest } = splitAtVersion(decodePath(path));
  if (rest.length === 0 || (rest.length === 1 && rest[0] === '')) return { kind: 'ping' };
  // Not below a prefix: the names in it are those without one.
  if (prefix === undefined && rest.length === 1 && rest[0] === '_catalog') return { kind: 'catalog' };

  const keyword = rest.at(-2) ?? '';
  const last = rest.at(-1) ?? '';
  const where = (): RepositoryPath => ({ name: parseRepositoryName(rest.slice(0, -2).join('/')), prefix });
  switch (keyword) {
    case 'manifests':
      return { kind: 'manifest', ...where(), reference: parseReference(last) };
    case 'blobs':
      return { kind: 'blob', ...where(), digest: parseDigest(last) };
    case 'referrers':
      return { kind: 'referrers', ...where(), digest: parseDigest(last) };
    case 'tags':
      if (last === 'list') return { kind: 'tags', ...where() };
      break;
    case 'uploads':
      if (rest.at(-3) === 'blobs') {
        throw new RegistryError(
          'BLOB_UPLOAD_UNKNOWN',
          'a mirror takes no uploads, so there is none to ask for',
        );
      }
  }
  throw noSuchEndpoint();
}

/**
 * No name, tag or digest needs percent-encoding. Some clients encode the colon of a digest; all else that is encoded
 * (slashes, dots, NULs) is somebody trying to get past a check.
 */
function decodePath(path: string): string {
  const decoded = path.length > MAX_PATH_LENGTH ? undefined : path.replaceAll(/%3a/gi, ':');
  if (decoded === undefined || /[%\\\0]/.test(decoded)) {
    throw new RegistryError(
      'NAME_INVALID',
      'the path is too long or has characters that no name, tag or digest has',
    );
  }
  return decoded;
}

function splitAtVersion(path: string): { prefix: string | undefined; rest: string[] } {
  const segments = path.split('/').slice(1);
  const version = segments.indexOf('v2');
  if (version === -1) throw noSuchEndpoint();
  const prefix = segments.slice(0, version).join('/');
  return { prefix: prefix === '' ? undefined : prefix, rest: segments.slice(version + 1) };
}

function noSuchEndpoint(): RegistryError {
  return new RegistryError('UNSUPPORTED', 'there is no such endpoint; the registry API is below /v2/', {
    status: 404,
  });
}
