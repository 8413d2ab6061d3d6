/** What goes wrong with a spool file, told apart by whose fault it is: the source's, our disk's, or neither's. */
import type { Digest } from '../oci/digest.ts';

/** The first bytes of a blob, by their digest. */
export interface Prefix {
  readonly length: number;
  readonly digest: Digest;
}

/** The bytes are not those that were asked for: too many, or with another digest. */
export class ContentMismatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ContentMismatchError';
  }
}

/** Our own disk would not take the bytes. `prefix` is what it has taken, unverified, for whoever goes on with another source. */
export class SpoolWriteError extends Error {
  readonly prefix: Prefix;

  constructor(cause: unknown, prefix: Prefix) {
    super('the spool file could not be written', { cause });
    this.name = 'SpoolWriteError';
    this.prefix = prefix;
  }
}

/** A reader was cut off because the file it follows failed; `cause` says why, `position` where in the blob. */
export class SpoolFailedError extends Error {
  readonly position: number;

  constructor(position: number, cause: Error) {
    super(`the spool file failed at byte ${position}`, { cause });
    this.name = 'SpoolFailedError';
    this.position = position;
  }
}
