/**
 * The CDN of the scripted upstream: signed links that expire, refused as S3 and R2 refuse them when they come with
 * somebody's Authorization, another method or no valid signature.
 */
import { randomUUID } from 'node:crypto';
import { algorithmOf, hexOf, type Digest } from '../../src/oci/digest.ts';
import type { Contents } from './scripted-upstream-content.ts';
import type { Reply } from './scripted-upstream-reply.ts';
import type { RecordedRequest } from './scripted-upstream-request.ts';

const LIFETIME_SECONDS = 1200;

export class Cdn {
  readonly #contents: Contents;
  readonly #base: () => string;
  readonly #signatures = new Map<string, { readonly path: string; expiresAt: number }>();

  constructor(contents: Contents, base: () => string) {
    this.#contents = contents;
    this.#base = base;
  }

  sign(digest: Digest): string {
    const hex = hexOf(digest);
    const path = `/registry-v2/docker/registry/v2/blobs/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data`;
    const signature = randomUUID();
    this.#signatures.set(signature, { path, expiresAt: Date.now() + LIFETIME_SECONDS * 1000 });
    const query = new URLSearchParams({
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Expires': String(LIFETIME_SECONDS),
      'X-Amz-SignedHeaders': 'host',
      'X-Amz-Signature': signature,
    });
    return `${this.#base()}${path}?${query.toString()}`;
  }

  expireLinks(): void {
    for (const signature of this.#signatures.values()) signature.expiresAt = 0;
  }

  answer(request: RecordedRequest): Reply {
    if (request.headers.authorization !== undefined) {
      return xml(400, 'InvalidArgument', 'Only one auth mechanism allowed');
    }
    const signature = this.#signatures.get(request.query.get('X-Amz-Signature') ?? '');
    // A signature covers the method: a link for GET is none for HEAD.
    if (!signature || signature.path !== request.path || request.method !== 'GET') {
      return xml(403, 'SignatureDoesNotMatch', 'The request signature does not match');
    }
    if (signature.expiresAt <= Date.now()) return xml(403, 'AccessDenied', 'Request has expired');
    const bytes = this.#contents.findAnyBlob(request.reference ?? '');
    if (!bytes) return xml(404, 'NoSuchKey', 'The specified key does not exist.');
    return {
      status: 200,
      headers: { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes', etag: '"4f2c-17"' },
      body: bytes,
      isRangeable: true,
    };
  }
}

function xml(status: number, code: string, message: string): Reply {
  return {
    status,
    headers: { 'content-type': 'application/xml' },
    body: Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
    ),
  };
}
