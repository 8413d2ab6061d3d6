/** Small content for the tests of the index: manifests that are real JSON with real digests, and blobs of any size. */
import { createHash } from 'node:crypto';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { linksOf, MEDIA_TYPE, parseManifest, type Manifest } from '../../../src/oci/manifest.ts';
import { parseRepositoryName, parseReference, type Tag } from '../../../src/oci/reference.ts';
import type {
  BlobRecord,
  MetadataStore,
  RepositoryKey,
  TagRecord,
} from '../../../src/metadata/metadata-store.ts';

export function repositoryKey(name: string, upstream = 'docker.io'): RepositoryKey {
  return { upstream, name: parseRepositoryName(name) };
}

export function tagOf(text: string): Tag {
  const reference = parseReference(text);
  if (reference.kind !== 'tag') throw new Error(`${text} is no tag`);
  return reference.tag;
}

export function blobOf(seed: string, size = 1000): BlobRecord {
  return { digest: digestOf(Buffer.from(seed)), size };
}

function descriptorOf({ digest, size }: BlobRecord, mediaType: string) {
  return { mediaType, digest, size };
}

export function imageOf(
  layers: readonly BlobRecord[],
  options: { note?: string; subject?: Manifest; algorithm?: 'sha256' | 'sha512' } = {},
): Manifest {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      layers: layers.map((layer) => descriptorOf(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      ...(options.subject ? { subject: options.subject.descriptor } : {}),
      annotations: { note: options.note ?? '' },
    }),
  );
  return parseManifest(bytes, MEDIA_TYPE.ociManifest, digestOf(bytes, options.algorithm));
}

export function indexOf(children: readonly Manifest[], note = ''): Manifest {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: children.map((child) => child.descriptor),
      annotations: { note },
    }),
  );
  return parseManifest(bytes, MEDIA_TYPE.ociIndex);
}

export function tagRecord(tag: string, manifest: Manifest, checkedAt = 0): TagRecord {
  return { tag: tagOf(tag), descriptor: manifest.descriptor, checkedAt };
}

export async function save(store: MetadataStore, repository: RepositoryKey, ...manifests: Manifest[]) {
  for (const manifest of manifests) await store.saveManifest(repository, manifest, linksOf(manifest));
}

export async function link(store: MetadataStore, repository: RepositoryKey, ...blobs: BlobRecord[]) {
  for (const blob of blobs) await store.linkBlob(repository, blob);
}

export function digest(of: Manifest | BlobRecord): Digest {
  return 'digest' in of ? of.digest : of.descriptor.digest;
}

/** As many different blobs as wanted, cheaply. */
export function* manyBlobs(count: number): Iterable<BlobRecord> {
  for (let n = 0; n < count; n++) {
    yield { digest: `sha256:${createHash('sha256').update(String(n)).digest('hex')}` as Digest, size: n };
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
