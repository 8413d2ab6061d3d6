/**
 * The blobs in the store as pulls use them: what can't be looked at or read is not here, for upstream has it too. No
 * method fails because of our disk.
 */
import { Writable } from 'node:stream';
import { BlobReadError, type BlobContent, type BlobStat, type BlobStore } from '../blobs/blob-store.ts';
import type { PullMetadata } from '../metadata/metadata-store.ts';
import { DigestHasher, type Digest } from '../oci/digest.ts';

export interface StoredBlobsPorts {
  /** Of which no method fails: what our disk can't do is our problem, not the client's. */
  readonly metadata: PullMetadata;
  readonly blobs: BlobStore;
  /** A blob that the index promised is not there, not whole or not readable. */
  readonly onLost: (digest: Digest, cause?: Error) => void;
  /** A blob in the store could not be looked at, or not be let go of: broken storage. */
  readonly onUnreadable: (error: Error) => void;
}

export class StoredBlobs {
  readonly #ports: StoredBlobsPorts;
  /** Lost, and the disk does not let go of what is left of them. */
  readonly #remains = new Set<Digest>();

  constructor(ports: StoredBlobsPorts) {
    this.#ports = ports;
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    if (!(await this.#isUsable(digest))) return undefined;
    return this.#ports.blobs.stat(digest).catch(this.#reportUnreadable);
  }

  async open(digest: Digest): Promise<BlobContent | undefined> {
    if (!(await this.#isUsable(digest))) return undefined;
    return this.#ports.blobs.open(digest).catch(this.#reportUnreadable);
  }

  /** The disk does not have what it was to have: what is left of it goes, and it is fetched again. */
  async forget(digest: Digest, cause?: Error): Promise<void> {
    const { metadata, onLost } = this.#ports;
    onLost(digest, cause);
    await metadata.forgetBlob(digest);
    await this.#remove(digest);
  }

  /** Reads all of it: whether it has its digest. */
  async isWhole(digest: Digest): Promise<boolean> {
    const content = await this.open(digest);
    if (!content) return false;
    const hasher = new DigestHasher(digest);
    const sink = new Writable({
      write: (chunk: Uint8Array, _encoding, done) => {
        hasher.update(chunk);
        done();
      },
    });
    try {
      await content.sendTo(sink);
      return hasher.digest() === digest;
    } catch (error) {
      if (error instanceof BlobReadError) return false;
      throw error;
    } finally {
      await content.close();
    }
  }

  /** What remains of a lost one is none; if it was fetched again meanwhile, that is done once more. */
  async #isUsable(digest: Digest): Promise<boolean> {
    return !this.#remains.has(digest) || this.#remove(digest);
  }

  async #remove(digest: Digest): Promise<boolean> {
    try {
      await this.#ports.blobs.delete(digest);
      this.#remains.delete(digest);
      return true;
    } catch (error) {
      this.#remains.add(digest);
      this.#reportUnreadable(error);
      return false;
    }
  }

  readonly #reportUnreadable = (error: unknown): undefined => {
    this.#ports.onUnreadable(error as Error);
    return undefined;
  };
}
