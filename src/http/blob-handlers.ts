/** Blobs: the whole or one range, from the cache or while they come in. */
import type { Request, Response } from 'express';
import { parseRange, type ByteRange } from '../lib/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { Repository } from '../repository/repository.ts';
import { setPart, type Deliver } from './delivery.ts';
import { offerToKeep } from './keepable.ts';
import { recordOf, recordServed } from './request-record.ts';
import { HttpRequester } from './requester.ts';
import { isEtagOf, sendNotModified, setContentHeaders } from './responses.ts';

const MEDIA_TYPE = 'application/octet-stream';

export async function headBlob(request: Request, response: Response, repository: Repository, digest: Digest) {
  const served = await repository.statBlob(digest);
  recordServed(response, served);
  const { size } = served;
  if (sendNotModified(request, response, digest)) return;
  setBlobHeaders(response, digest, size);
  if (size !== undefined) response.setHeader('Content-Length', size);
  offerToKeep(request, response, served);
  response.end();
}

/** @param deliver sends blobs of the store in our place, where it does */
export async function getBlob(
  request: Request,
  response: Response,
  repository: Repository,
  digest: Digest,
  deliver: Deliver,
) {
  if (request.headers['if-none-match'] !== undefined) {
    recordServed(response, await repository.statBlob(digest));
    if (sendNotModified(request, response, digest)) return;
  }
  const served = await repository.blob(digest, new HttpRequester(response));
  const { content } = served;
  try {
    recordServed(response, served);
    const range = wantedRange(request, digest, content.size);
    if (range === 'unsatisfiable') {
      response.setHeader('Content-Range', `bytes */${content.size ?? '*'}`);
      throw new RegistryError('RANGE_INVALID', 'the blob has no such bytes', {
        detail: { size: content.size },
      });
    }
    setBlobHeaders(response, digest, content.size);
    const { size } = content;
    const isDelivered =
      isStored(served) && size !== undefined
        ? deliver({ request, response, digest, size, range })
        : undefined;
    await (isDelivered ?? send(request, response, served, range));
  } finally {
    await content.close();
  }
}

/** In a file; neither on its way in nor, for it is small, in memory. */
function isStored({ source, content }: Awaited<ReturnType<Repository['blob']>>): boolean {
  return (source === 'hit' || source === 'revalidated') && content.bytes === undefined;
}

async function send(
  request: Request,
  response: Response,
  served: Awaited<ReturnType<Repository['blob']>>,
  range: ByteRange | undefined,
): Promise<void> {
  const { content } = served;
  if (range && content.size !== undefined) setPart(response, range, content.size);
  const length = range ? range.end - range.start : content.size;
  if (length !== undefined) response.setHeader('Content-Length', length);
  if (content.bytes) offerToKeep(request, response, served, content.bytes);
  // The client hears at once that it is coming (containerd waits 30 s for headers), however long the first byte takes.
  // With an empty body the headers are the whole answer: they wait until the body is known to be right.
  if (recordOf(response).source !== 'hit' && length !== 0) response.flushHeaders();
  await content.sendTo(response, range);
  response.end();
}

/** Several ranges at once, and a range of a blob whose size nobody knows, get the whole (RFC 9110, section 14.2). */
function wantedRange(
  request: Request,
  digest: Digest,
  size: number | undefined,
): ReturnType<typeof parseRange> {
  const condition = request.get('if-range');
  // An empty blob has no parts: `bytes=0-`, which some clients always send, is all of it (as it is to Go's servers).
  if (size === undefined || size === 0 || (condition !== undefined && !isEtagOf(digest, condition)))
    return undefined;
  return parseRange(request.headers.range, size);
}

function setBlobHeaders(response: Response, digest: Digest, size: number | undefined): void {
  setContentHeaders(response, digest, MEDIA_TYPE);
  if (size !== undefined) response.setHeader('Accept-Ranges', 'bytes');
}
