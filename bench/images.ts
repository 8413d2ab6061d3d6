/** What there is to pull: blobs and images of reproducible random bytes, of any size, and how they get into a registry. */
import { createCipheriv, createHash } from 'node:crypto';
import { request } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';

const CHUNK_BYTES = 1 << 20;
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';

export interface Blob {
  readonly digest: string;
  readonly size: number;
  chunks(): Iterable<Uint8Array>;
}

export interface Image {
  readonly manifest: Blob;
  readonly mediaType: string;
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

/** The same for the same seed. */
export function randomBlob(seed: string, size: number): Blob {
  const hash = createHash('sha256');
  for (const chunk of keyStream(seed, size)) hash.update(chunk);
  return { digest: `sha256:${hash.digest('hex')}`, size, chunks: () => keyStream(seed, size) };
}

export function bytesBlob(bytes: Uint8Array): Blob {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { digest, size: bytes.length, chunks: () => [bytes] };
}

/** An image whose layers have those sizes. They are no archives: nobody here unpacks them. */
export function buildImage(seed: string, layerSizes: readonly number[]): Image {
  const layers = layerSizes.map((size, index) => randomBlob(`${seed}-${index}`, size));
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: { seed } },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.size },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  });
  return { manifest, mediaType: MANIFEST_TYPE, config, layers };
}

/** The image under that tag, with all its blobs. */
export async function pushImage(
  registryUrl: string,
  repository: string,
  tag: string,
  image: Image,
): Promise<void> {
  for (const blob of [image.config, ...image.layers]) await pushBlob(registryUrl, repository, blob);
  await send('PUT', `${registryUrl}/v2/${repository}/manifests/${tag}`, image.manifest, image.mediaType);
}

/** Distribution spec, "Pushing a blob monolithically": POST, then PUT. */
export async function pushBlob(registryUrl: string, repository: string, blob: Blob): Promise<void> {
  const begun = await send('POST', `${registryUrl}/v2/${repository}/blobs/uploads/`);
  if (begun === undefined) throw new Error('the registry gives no place for an upload');
  const place = new URL(begun, registryUrl);
  place.searchParams.set('digest', blob.digest);
  await send('PUT', place.href, blob, 'application/octet-stream');
}

/** @returns the Location of the answer */
async function send(
  method: string,
  url: string,
  body?: Blob,
  type = 'text/plain',
): Promise<string | undefined> {
  const headers = { 'Content-Type': type, 'Content-Length': String(body?.size ?? 0) };
  const outgoing = request(url, { method, headers });
  const answered = new Promise<{ status: number; location: string | undefined }>((resolve, reject) => {
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, location: response.headers.location });
    });
  });
  const sent = pipeline(Readable.from(body?.chunks() ?? []), outgoing);
  const [{ status, location }] = await Promise.all([answered, sent]);
  if (status < 200 || status > 299) throw new Error(`${method} ${url}: status ${status}`);
  return location;
}

/** The key stream of a cipher: gigabytes a second. */
function* keyStream(seed: string, size: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const zeros = Buffer.alloc(Math.min(size, CHUNK_BYTES));
  for (let left = size; left > 0; left -= zeros.length) {
    yield cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
  }
}

const json = (value: object): Blob => bytesBlob(Buffer.from(JSON.stringify(value, null, 2)));
