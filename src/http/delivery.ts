/** Who else may send a blob in our place: a process that can open its file as well as we can. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { formatContentRange, type ByteRange } from '../lib/byte-range.ts';
import type { Digest } from '../oci/digest.ts';

/** A blob in the store, which stays there until whoever delivers it says that it is over. */
export interface Delivery {
  readonly request: IncomingMessage;
  /** With the headers that every answer has which brings the blob. */
  readonly response: ServerResponse;
  readonly digest: Digest;
  readonly size: number;
  /** What of it is wanted; all without. */
  readonly range: ByteRange | undefined;
}

/** Resolves when the answer is given and the file needed no more; `undefined` where it is not delivered so. */
export type Deliver = (delivery: Delivery) => Promise<void> | undefined;

/** Makes the answer one that brings a range (RFC 9110, section 15.3.7). */
export function setPart(response: ServerResponse, range: ByteRange, size: number): void {
  response.statusCode = 206;
  response.setHeader('Content-Range', formatContentRange(range, size));
}
