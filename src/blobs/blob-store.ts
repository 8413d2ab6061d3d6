/** The port to verified bytes by digest. It knows nothing of repositories, tags or upstreams. */
import type { Writable } from 'node:stream';
import type { ByteRange } from '../lib/byte-range.ts';
import type { Digest } from '../oci/digest.ts';

export interface BlobStat {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Bytes that were there can't be read any more. */
export class BlobReadError extends Error {
  /** The first of them, counted from the beginning of the blob: all before it were sent. */
  readonly position: number;

  constructor(position: number, options: ErrorOptions) {
    super(`a blob can't be read from byte ${position} on`, options);
    this.name = 'BlobReadError';
    this.position = position;
  }
}

/** The bytes of one blob, open for reading: deleting the blob does not disturb it. */
export interface BlobContent {
  /** Bytes; undefined only while a blob comes in from an upstream that did not say. */
  readonly size: number | undefined;
  /** All of it, where it is in memory anyway. */
  readonly bytes?: Buffer | undefined;
  /**
   * Writes the bytes of `range` (all of them without one) to `sink`, at the sink's pace, and leaves it open.
   * Resolves when the sink has taken the last byte; rejects when the sink closes first or the bytes can't be had
   * (with BlobReadError where the storage is to blame): then fewer bytes than promised were written, and never the last one. May be called many times, also at once.
   */
  sendTo(sink: Writable, range?: ByteRange): Promise<void>;
  /** To be called once by whoever opened it, after the last `sendTo` has settled. */
  close(): Promise<void>;
}

/** A local file whose bytes are known to have this digest and to be on stable storage. */
export interface VerifiedFile extends BlobStat {
  readonly path: string;
}

/** `undefined` means "not here"; any throw means broken storage. */
export interface BlobStore {
  stat(digest: Digest): Promise<BlobStat | undefined>;
  open(digest: Digest): Promise<BlobContent | undefined>;
  /** Takes ownership of the file, success or not. Durable when it resolves; idempotent for a digest already here. */
  adopt(file: VerifiedFile): Promise<void>;
  /** Resolves to whether it was there. */
  delete(digest: Digest): Promise<boolean>;
  /** All that is here, in no order; what comes or goes meanwhile may or may not be in it. */
  list(): AsyncIterable<BlobStat>;
  close(): Promise<void>;
}
