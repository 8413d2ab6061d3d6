/**
 * Has a web server in front send stored blobs from their files: nginx (X-Accel-Redirect) or Apache and lighttpd
 * (X-Sendfile). It says by a request header that it can, and makes ranges of the whole by itself.
 */
import type { Digest } from '../oci/digest.ts';
import type { Deliver, Delivery } from './delivery.ts';

export interface AccelOptions {
  readonly header: 'x-accel-redirect' | 'x-sendfile';
  /** Smaller ones cost more that way than by ourselves. */
  readonly minBytes: number;
  /** What the header says of a blob. */
  readonly locate: (digest: Digest) => string;
  /** Keeps the blob in the store until that server can be expected to have opened it. */
  readonly hold: (digest: Digest) => Promise<void>;
}

/** In requests, as Rack::Sendfile has it. Who sends it and is no such server gets answers that lack their bodies. */
const CAN_SEND = 'x-sendfile-type';

export function accelerated(options: AccelOptions): Deliver {
  const { header, minBytes } = options;
  return (delivery) => {
    const { request, size } = delivery;
    const canSend = String(request.headers[CAN_SEND] ?? '').toLowerCase() === header;
    // Its conditions on a range are about an ETag that is not ours.
    if (!canSend || size < minBytes || request.headers['if-range'] !== undefined) return undefined;
    return deliver(options, delivery);
  };
}

async function deliver(
  { header, locate, hold }: AccelOptions,
  { response, digest }: Delivery,
): Promise<void> {
  await hold(digest);
  response.setHeader(header === 'x-sendfile' ? 'X-Sendfile' : 'X-Accel-Redirect', locate(digest));
  // It says so of what it makes of the file.
  response.removeHeader('Accept-Ranges');
  response.setHeader('Content-Length', 0);
  response.end();
}
