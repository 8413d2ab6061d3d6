/**
 * Manifests and indexes as the registry sees them: bytes with a descriptor, and the digests that they point to.
 * The bytes are never re-serialised. (OCI image-spec v1.1, manifest.md and image-index.md; Docker schema 2.)
 */
import { digestOf, isDigest, algorithmOf, type Digest } from './digest.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface Manifest {
  readonly descriptor: Descriptor;
  /** Exactly as received. */
  readonly bytes: Uint8Array;
}

/** What an index of referrers says of each (distribution-spec v1.1.1, "Listing Referrers"). */
export interface ReferrerDescriptor extends Descriptor {
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const MEDIA_TYPE = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerList]);
const MANIFEST_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifest]);

/** Larger ones are refused, as clients do (podman 4 MiB, containerd about 4.4 MB). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** What a manifest points to. Descriptors with digests that we can't verify are left out: nobody can pull those. */
export interface ManifestLinks {
  /** Config and layers. */
  readonly blobs: readonly Digest[];
  /** Children of an index. */
  readonly manifests: readonly Digest[];
  readonly subject: Digest | undefined;
}

/** The bytes are no manifest, or contradict what came with them. */
export class InvalidManifestError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'InvalidManifestError';
  }
}

export type Json = Readonly<Record<string, unknown>>;

/**
 * Checks bytes that came with a Content-Type and makes a manifest of them.
 * @param expected the digest that they must have; without one they get a sha256
 * @throws InvalidManifestError where they are not JSON, too large, have another digest, name another `mediaType`
 *   than the Content-Type, or can be read both as a manifest and as an index (CVE-2021-41190)
 */
export function parseManifest(bytes: Uint8Array, contentType: string, expected?: Digest): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) throw new InvalidManifestError('the manifest is larger than 4 MiB');
  const digest = digestOf(bytes, expected && algorithmOf(expected));
  if (expected !== undefined && digest !== expected) {
    throw new InvalidManifestError(`the manifest has the digest ${digest} instead of ${expected}`);
  }
  const json = parseJson(bytes);
  const mediaType = withoutParameters(contentType);
  if (typeof json['mediaType'] === 'string' && json['mediaType'] !== mediaType) {
    throw new InvalidManifestError(
      `the manifest says mediaType ${shown(json['mediaType'])} but came as Content-Type ${shown(mediaType)}`,
    );
  }
  if (!/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/.test(mediaType) || mediaType === 'text/html') {
    throw new InvalidManifestError(`the manifest came as Content-Type ${shown(mediaType)}`);
  }
  const hasManifests = 'manifests' in json;
  const hasLayers = 'layers' in json || 'config' in json || 'fsLayers' in json;
  if (hasManifests && hasLayers) throw new InvalidManifestError('the manifest has both manifests and layers');
  if ((hasLayers && INDEX_TYPES.has(mediaType)) || (hasManifests && MANIFEST_TYPES.has(mediaType))) {
    throw new InvalidManifestError(`what came as ${mediaType} has the members of the other kind`);
  }
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
}

export function linksOf(manifest: Manifest): ManifestLinks {
  const json = parseJson(manifest.bytes);
  return {
    blobs: [...digestsIn([json['config']]), ...digestsIn(json['layers']), ...digestsIn(json['blobs'])],
    manifests: digestsIn(json['manifests']),
    subject: digestsIn([json['subject']])[0],
  };
}

/** How a referrer shows in the index of its subject's referrers. */
export function asReferrer(manifest: Manifest): ReferrerDescriptor {
  const json = parseJson(manifest.bytes);
  const config = isObject(json['config']) ? json['config']['mediaType'] : undefined;
  const artifactType = [json['artifactType'], config].find((type) => typeof type === 'string' && type !== '');
  return {
    ...manifest.descriptor,
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...annotationsOf(json['annotations']),
  };
}

/**
 * The referrers in an index, which came from an upstream: entries that are no descriptors are left out, and of the
 * others all that no referrer has. `undefined` where it is no index.
 */
export function referrersIn(index: unknown): readonly ReferrerDescriptor[] | undefined {
  const entries = isObject(index) && 'manifests' in index ? (index['manifests'] ?? []) : undefined;
  return Array.isArray(entries) ? entries.flatMap((entry: unknown) => referrerOf(entry) ?? []) : undefined;
}

function referrerOf(entry: unknown): ReferrerDescriptor | undefined {
  if (!isObject(entry)) return undefined;
  const { mediaType, digest, size, artifactType, annotations } = entry;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || !isDigest(digest)) return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  return {
    ...{ mediaType, digest, size },
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...annotationsOf(annotations),
  };
}

/** What came from outside may be nested deeper than can be written again. */
function annotationsOf(annotations: unknown): Pick<ReferrerDescriptor, 'annotations'> {
  if (!isObject(annotations)) return {};
  const texts = Object.entries(annotations).filter((entry): entry is [string, string] => {
    return typeof entry[1] === 'string';
  });
  return { annotations: Object.fromEntries(texts) };
}

/** `application/json; charset=utf-8` is `application/json`: clients compare media types without parameters. */
export function withoutParameters(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

/** Of what came from outside, as much as a message needs. */
function shown(text: string): string {
  return text === '' ? '(none)' : text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

export function parseJson(bytes: Uint8Array): Json {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidManifestError('the manifest is not JSON', { cause });
  }
  if (!isObject(json)) throw new InvalidManifestError('the manifest is not a JSON object');
  return json;
}

function digestsIn(descriptors: unknown): Digest[] {
  if (!Array.isArray(descriptors)) return [];
  const digests = descriptors
    .map((descriptor: unknown) => (isObject(descriptor) ? descriptor['digest'] : undefined))
    .filter((digest): digest is Digest => typeof digest === 'string' && isDigest(digest));
  return [...new Set(digests)];
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
