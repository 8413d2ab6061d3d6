/**
 * Small real images, the same for the same options: manifests, configs and gzipped tar layers that any client can
 * unpack, and reproducible bytes for large blobs.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { digestOf, type Digest, type DigestAlgorithm } from '../../src/oci/digest.ts';
import { MEDIA_TYPE, type Descriptor } from '../../src/oci/manifest.ts';

export interface Content {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string;
}

/** What can be pushed: a manifest with its blobs and, for an index, its children. */
export interface Pushable {
  readonly manifest: Content;
  readonly blobs: readonly Content[];
  readonly children: readonly Pushable[];
}

export interface Image extends Pushable {
  readonly config: Content;
  readonly layers: readonly Content[];
}

interface ManifestOptions {
  readonly mediaTypes?: 'oci' | 'docker';
  /** Makes it a referrer of that manifest. */
  readonly subject?: Content;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly algorithm?: DigestAlgorithm;
}

export interface ImageOptions extends ManifestOptions {
  /** How many layers to make (default 2), or their very bytes, which then need be no archives. */
  readonly layers?: number | readonly Uint8Array[];
  /** Bytes of the one file in each layer made; the blob is a little larger. */
  readonly layerSize?: number;
  /** Other seeds give other bytes. */
  readonly seed?: string | number;
  readonly architecture?: string;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

const TYPES = {
  oci: {
    manifest: MEDIA_TYPE.ociManifest,
    index: MEDIA_TYPE.ociIndex,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: MEDIA_TYPE.dockerManifest,
    index: MEDIA_TYPE.dockerList,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

/** The same bytes for the same seed, at gigabytes a second: the key stream of a cipher. */
export function randomBytes(seed: string | number, size: number): Buffer {
  const key = createHash('sha256').update(String(seed)).digest();
  return createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16)).update(Buffer.alloc(size));
}

export function contentOf(
  bytes: Uint8Array,
  mediaType = 'application/octet-stream',
  algorithm: DigestAlgorithm = 'sha256',
): Content {
  return { bytes, mediaType, digest: digestOf(bytes, algorithm) };
}

export function descriptorOf({ mediaType, digest, bytes }: Content): Descriptor {
  return { mediaType, digest, size: bytes.length };
}

export function buildImage(options: ImageOptions = {}): Image {
  const { mediaTypes = 'oci', algorithm = 'sha256', seed = 'image', layerSize = 256 } = options;
  const types = TYPES[mediaTypes];
  const wanted = options.layers ?? 2;
  const archives =
    typeof wanted === 'number'
      ? Array.from({ length: wanted }, (_, index) => tarOfOneFile(`${seed}-${index}`, layerSize))
      : wanted;
  // Level 0: the content is random, and a layer of 64 MiB shall cost no second.
  const layers = archives.map((archive) =>
    contentOf(typeof wanted === 'number' ? gzipSync(archive, { level: 0 }) : archive, types.layer, algorithm),
  );
  const config = json(types.config, algorithm, {
    architecture: options.architecture ?? 'amd64',
    os: 'linux',
    created: '2024-01-01T00:00:00Z',
    config: { Cmd: ['/bin/true'], Labels: { seed: String(seed) } },
    rootfs: { type: 'layers', diff_ids: archives.map((archive) => digestOf(archive)) },
    history: archives.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'test' })),
  });
  const manifest = json(types.manifest, algorithm, {
    schemaVersion: 2,
    mediaType: types.manifest,
    ...(options.artifactType === undefined ? {} : { artifactType: options.artifactType }),
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
    ...extrasOf(options),
  });
  return { manifest, config, layers, blobs: [config, ...layers], children: [] };
}

export interface IndexEntry {
  readonly image: Pushable;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function buildIndex(entries: readonly IndexEntry[], options: ManifestOptions = {}): Pushable {
  const { mediaTypes = 'oci', algorithm = 'sha256' } = options;
  const mediaType = TYPES[mediaTypes].index;
  const manifest = json(mediaType, algorithm, {
    schemaVersion: 2,
    mediaType,
    ...(options.artifactType === undefined ? {} : { artifactType: options.artifactType }),
    manifests: entries.map(({ image, platform, annotations }) => ({
      ...descriptorOf(image.manifest),
      ...(platform ? { platform } : {}),
      ...(annotations ? { annotations } : {}),
    })),
    ...extrasOf(options),
  });
  return { manifest, blobs: [], children: entries.map(({ image }) => image) };
}

function extrasOf({ subject, annotations }: ManifestOptions): object {
  return {
    ...(subject ? { subject: descriptorOf(subject) } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

function json(mediaType: string, algorithm: DigestAlgorithm, value: object): Content {
  return contentOf(Buffer.from(JSON.stringify(value, null, 2)), mediaType, algorithm);
}

/** A ustar archive with the file /data-<seed> (POSIX.1-2017, pax, "ustar Interchange Format"). */
function tarOfOneFile(seed: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  const field = (offset: number, text: string) => header.write(text, offset, 'latin1');
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  field(0, `data-${seed}`.slice(0, 100));
  field(100, `${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`);
  field(124, `${octal(size, 11)}\0${octal(0, 11)}\0`);
  field(148, ' '.repeat(8));
  field(156, '0');
  field(257, 'ustar\x0000');
  field(
    148,
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
  );
  const padding = Buffer.alloc((512 - (size % 512)) % 512);
  return Buffer.concat([header, randomBytes(seed, size), padding, Buffer.alloc(1024)]);
}
