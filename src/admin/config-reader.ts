/** Reads an image's config, where it is here, for what its manifest does not say: the platform. */
import { Writable } from 'node:stream';
import { BlobReadError, type BlobContent, type BlobStore } from '../blobs/blob-store.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { platformIn, type Platform } from '../oci/platform.ts';

const CONFIG_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);
/** Real ones have some kilobytes. */
const MAX_BYTES = 1024 * 1024;

export class ConfigReader {
  readonly #blobs: Pick<BlobStore, 'open'>;

  constructor(blobs: Pick<BlobStore, 'open'>) {
    this.#blobs = blobs;
  }

  /** `undefined` where it is not here, is the config of something else, or can't be made out. */
  async platformOf(config: Descriptor | undefined): Promise<Platform | undefined> {
    if (!config || !CONFIG_TYPES.has(config.mediaType)) return undefined;
    const content = await this.#blobs.open(config.digest);
    if (!content) return undefined;
    try {
      if (content.size === undefined || content.size > MAX_BYTES) return undefined;
      return platformIn(JSON.parse(await textOf(content)));
    } catch (error) {
      // What the disk can't give or is no JSON says nothing; nobody's pull needs it.
      if (error instanceof BlobReadError || error instanceof SyntaxError) return undefined;
      throw error;
    } finally {
      await content.close();
    }
  }
}

async function textOf(content: BlobContent): Promise<string> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      // The sender uses its buffer again.
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  await content.sendTo(sink);
  return Buffer.concat(chunks).toString();
}
