/** Whether lists of tags and of referrers are what upstream has had to list. */
import { MEDIA_TYPE } from '../../../src/oci/manifest.ts';
import type { Circumstances, Verdict } from './judge.ts';
import type { Question } from './question.ts';
import type { Answer } from './wire.ts';
import type { World } from './world.ts';

/** A complete answer to a question for tags. */
export function judgeTags(
  { method, repository, last, n }: Question & { kind: 'tags' },
  { status, body }: Answer,
  { tagFrom, until, mayBeStale }: Circumstances,
  { upstream }: World,
): Verdict {
  if (status !== 200) return `the status is ${status ?? 0}`;
  if (method === 'HEAD') return undefined;
  const { name, tags } = JSON.parse(body.toString()) as { name: unknown; tags: string[] };
  if (name !== repository) return 'the list is of another repository';
  if (tags.join() !== [...new Set(tags)].sort().join()) return 'the tags are not in order';
  if (n !== undefined && tags.length > n) return 'there are more tags than were asked for';
  if (last !== undefined && tags.some((tag) => tag <= last)) return 'there are tags that were not asked for';
  const { history } = upstream;
  const known = history.tagsOf(repository);
  if (!tags.every((tag) => known.includes(tag))) return 'a tag is listed that never existed';
  if (mayBeStale) return undefined;
  const end = n !== undefined && tags.length === n ? (tags.at(-1) ?? '') : undefined;
  for (const tag of known) {
    const values = history.tagBetween(repository, tag, tagFrom, until);
    const isListed = tags.includes(tag);
    const isAsked = tag > (last ?? '') && (end === undefined || tag <= end);
    if (isListed && values.size === 1 && values.has(undefined))
      return 'a tag is listed that was deleted long ago';
    if (!isListed && isAsked && !values.has(undefined)) return 'a tag is missing in the list';
  }
  return undefined;
}

/** A complete answer to a question for referrers. */
export function judgeReferrers(
  { repository, digest }: Question & { kind: 'referrers' },
  { status, body, headers }: Answer,
  { missFrom, until, mayFail, mayBeStale }: Circumstances,
  { catalogue, plan, upstream }: World,
): Verdict {
  if (status !== 200) return `the status is ${status ?? 0}`;
  if (headers['content-type'] !== MEDIA_TYPE.ociIndex) return 'the list of referrers is no index';
  const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] };
  const listed = manifests.map((manifest) => manifest.digest);
  const existing: readonly string[] = catalogue.referrersOf(digest);
  if (!listed.every((referrer) => existing.includes(referrer))) return 'a referrer is listed that is none';
  const wasWithdrawn = upstream.history.withdrawalsOf(repository).touches(missFrom, until);
  if (mayFail || mayBeStale || wasWithdrawn || !plan.hasReferrersApi) return undefined;
  return listed.length === existing.length ? undefined : 'a referrer is missing in the list';
}
