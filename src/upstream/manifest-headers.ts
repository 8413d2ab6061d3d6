/** What the headers of an answer say of a manifest (distribution-spec v1.1.1, "Pulling manifests"). */
import { algorithmOf, isDigest, type Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, MEDIA_TYPE, withoutParameters, type Descriptor } from '../oci/manifest.ts';
import type { Reference } from '../oci/reference.ts';
import { contentLengthOf, failed, headerOf, type HttpAnswer } from './http-answer.ts';

const MANIFEST_TYPES: ReadonlySet<string> = new Set(Object.values(MEDIA_TYPE));

/** What a HEAD tells of a manifest; undefined where that is not all. */
export function descriptorIn(answer: HttpAnswer, reference: Reference): Descriptor | undefined {
  const digest = digestIn(answer);
  const mediaType = mediaTypeOf(answer);
  const size = contentLengthOf(answer);
  // A type or a size that is none of a manifest may be a proxy's, of a page or of a HEAD's empty body; the GET shows it.
  if (digest === undefined || !MANIFEST_TYPES.has(mediaType) || !isSizeOfManifest(size)) return undefined;
  if (reference.kind === 'tag' || digest === reference.digest) return { mediaType, digest, size };
  // The same manifest may go by a digest of another algorithm; which of them is right, only its bytes can tell.
  if (algorithmOf(digest) !== algorithmOf(reference.digest)) return undefined;
  throw failed(answer.request, 'protocol', `the answer is for ${digest}`);
}

function isSizeOfManifest(size: number | undefined): size is number {
  return size !== undefined && size >= 2 && size <= MAX_MANIFEST_BYTES;
}

export function digestIn(answer: HttpAnswer): Digest | undefined {
  const text = headerOf(answer, 'docker-content-digest') ?? '';
  return isDigest(text) ? text : undefined;
}

export function mediaTypeOf(answer: HttpAnswer): string {
  return withoutParameters(headerOf(answer, 'content-type') ?? '');
}
