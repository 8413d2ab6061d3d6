/** Whether an answer with content, or that there is none, is right in status, headers and length. */
import type { Digest } from '../../../src/oci/digest.ts';
import type { Circumstances, Verdict } from './judge.ts';
import type { ContentOptions, Question } from './question.ts';
import { contentRangeOf, partOf } from './range.ts';
import type { Answer } from './wire.ts';
import type { World } from './world.ts';

/** A complete answer to a question about a manifest or a blob. @param digest which it is, or which the tag points to */
export function judgeContent(
  question: Question,
  digest: Digest,
  answer: Answer,
  circumstances: Circumstances,
  { catalogue, upstream, skies, tally }: World,
): Verdict {
  const { status, headers } = answer;
  const { repository, kind } = question;
  const since = upstream.history.heldSince(repository, digest) ?? Infinity;
  if (status === 404) {
    return since > circumstances.missFrom ? undefined : 'content is said not to exist that does';
  }
  if (since > circumstances.until) return 'content is served of a repository that never had it';
  const content = catalogue.find(digest);
  if (!content) return 'content is served that nobody ever had';
  const size = content.bytes.length;
  const { range, ifNoneMatch } = question as ContentOptions;
  const isPickable = kind === 'blob' && question.method === 'GET' && size > 0;
  const asked = isPickable ? partOf(size, range) : 'all';
  if (status === 416) {
    if (asked === 'none' && headers['content-range'] === `bytes */${size}`) return undefined;
    // An upstream that lies about the length has parts of its blobs refused by it.
    return skies.trouble.touches(answer.startedAt, answer.endedAt)
      ? undefined
      : 'a range is refused that exists';
  }
  if (headers['docker-content-digest'] !== digest) return 'Docker-Content-Digest is wrong';
  if (headers.etag !== `"${digest}"`) return 'the ETag is wrong';
  if (status === 304) return ifNoneMatch === digest ? undefined : 'a 304 answers another condition';
  if (ifNoneMatch === digest) return 'content is sent that the client has';
  // Upstream may not have said how long it is, and then nobody can pick a part of it.
  const isSizeKnown = headers['content-length'] !== undefined;
  if (!isSizeKnown) tally.count('answers without a length');
  const wanted = isSizeKnown ? asked : 'all';
  if (wanted === 'none') return 'a range is served that does not exist';
  const isPart = wanted !== 'all';
  const part = isPart ? wanted : { start: 0, end: size };
  if (status !== (isPart ? 206 : 200)) return `the status is ${status ?? 0}`;
  if (headers['content-range'] !== (isPart ? contentRangeOf(part, size) : undefined)) {
    return 'Content-Range is wrong';
  }
  if (isSizeKnown && !(question.method === 'HEAD' && circumstances.mayFail)) {
    if (headers['content-length'] !== String(part.end - part.start)) return 'Content-Length is wrong';
  }
  if (question.method === 'GET' && answer.received !== part.end - part.start)
    return 'a complete body is too short';
  if (kind === 'tag' && question.method === 'GET' && !answer.body.equals(content.bytes)) {
    return 'the manifest of a tag has wrong bytes';
  }
  const type = kind === 'blob' ? 'application/octet-stream' : content.mediaType;
  return headers['content-type'] === type ? undefined : 'Content-Type is wrong';
}
