/** Bytes that come in pieces, from somebody who may break off. */

/**
 * To be read to its end, once, or destroyed; leaving the loop over it destroys it too. Fails when it breaks off, but
 * not before all that had come is given out. A piece may be used until the next is asked for, and not longer: its
 * memory may then be that of another.
 */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  /** May be called more than once, and at any time. @param cause what a reader gets in place of the rest */
  destroy(cause?: Error): unknown;
}
