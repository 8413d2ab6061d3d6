/**
 * Holds every answer against what upstream has had and what was done to the mirror meanwhile. Whatever is not justified
 * by that is a finding: a wrong byte, a lost pull, an answer that hangs, one that says what was never so.
 */
import { judgeContent } from './judge-content.ts';
import { judgeReferrers, judgeTags } from './judge-lists.ts';
import { SECRETS } from './plan.ts';
import type { Question } from './question.ts';
import type { Answer } from './wire.ts';
import type { World } from './world.ts';

/** What upstream said may be on its way to a client for so long, on a machine that does much else at once. */
const SLACK_MS = 4000;
/** So much longer where upstream was slow or had to be asked again. */
const TROUBLED_SLACK_MS = 30_000;
const MAX_RETRY_AFTER_SECONDS = 120;

/** What was so while the question was asked and answered, and shortly before. */
export interface Circumstances {
  /** From when on an answer about what is not there may stem. */
  readonly missFrom: number;
  /** From when on an answer about where a tag points may stem. */
  readonly tagFrom: number;
  readonly until: number;
  /** Upstream failed in a way that clients may notice, or the mirror was stopped. */
  readonly mayFail: boolean;
  /** Older answers may be given in place of better ones. */
  readonly mayBeStale: boolean;
}

export type Verdict = string | undefined;

export class Judge {
  readonly #world: World;
  /** The newest that each tag was seen to point to, and when. */
  readonly #newest = new Map<string, { readonly age: number; readonly at: number }>();

  constructor(world: World) {
    this.#world = world;
  }

  judge(question: Question, answer: Answer): void {
    const circumstances = this.#circumstancesOf(question, answer);
    const problem =
      problemOfAny(answer, circumstances) ??
      this.#problemOfBreak(question, answer, circumstances) ??
      this.#problemOf(question, answer, circumstances);
    this.#world.tally.count('bytes checked', '', answer.received);
    if (problem === undefined) return;
    const { body, ...rest } = answer;
    this.#world.findings.add(problem, {
      question,
      answer: { ...rest, body: body.toString('latin1', 0, 500) },
      circumstances,
      now: performance.now(),
      weather: this.#world.skies.weather,
    });
  }

  #circumstancesOf({ repository }: Question, { startedAt, endedAt }: Answer): Circumstances {
    const { skies, mirror, plan } = this.#world;
    const isTroubled = skies.trouble.touches(startedAt, endedAt);
    const tagFrom = startedAt - plan.tagTtlMs - SLACK_MS;
    return {
      tagFrom,
      missFrom: startedAt - plan.missTtlMs - (isTroubled ? TROUBLED_SLACK_MS : SLACK_MS),
      until: endedAt,
      mayFail: isTroubled || mirror.absence.touches(startedAt, endedAt),
      mayBeStale: skies.trouble.touches(tagFrom, endedAt) || skies.hadBlips(repository, tagFrom, endedAt),
    };
  }

  /** A body that ends before its end, or bytes that are wrong in one that does. */
  #problemOfBreak(question: Question, answer: Answer, { mayFail, until }: Circumstances): Verdict {
    const { firstWrong, isComplete, hasLeft, startedAt, status } = answer;
    const { damaged, mirror, skies, upstream, catalogue } = this.#world;
    const digest = 'digest' in question ? question.digest : undefined;
    const harm = digest && damaged.get(digest);
    if (firstWrong !== undefined && harm !== 'flipped') {
      if (isComplete && !hasLeft) return 'a complete body has wrong bytes';
      // What upstream lies about may go out, but for the last byte.
      if (!skies.trouble.touches(startedAt, until)) return 'a body has wrong bytes, and upstream sent none';
    }
    if (isComplete || hasLeft || mayFail || status === undefined) return undefined;
    if (digest === undefined) return 'a short answer breaks off';
    // Its bytes were never all in one place, and come from upstream anew for each client.
    const isUncached = mirror.log.uncachedAt(digest) > startedAt - 60_000;
    const wasWithdrawn = catalogue.repositories.some(
      (repository) =>
        upstream.history.heldSince(repository, digest) !== undefined &&
        upstream.history.withdrawalsOf(repository).touches(startedAt - SLACK_MS, until),
    );
    if (isUncached) this.#world.tally.count('excused breaks', 'uncached');
    else if (wasWithdrawn) this.#world.tally.count('excused breaks', 'withdrawn');
    else if (harm) this.#world.tally.count('excused breaks', 'damaged');
    else return 'a body breaks off, and nothing happened that clients may notice';
    return undefined;
  }

  #problemOf(question: Question, answer: Answer, circumstances: Circumstances): Verdict {
    const { status, isComplete, hasLeft } = answer;
    if (status === undefined || !isComplete || hasLeft) return undefined;
    if (question.method === 'HEAD' && answer.received > 0) return 'a HEAD is answered with a body';
    if ([429, 502, 503].includes(status)) {
      return circumstances.mayFail
        ? undefined
        : 'a pull is refused, and nothing happened that clients may notice';
    }
    const { repository } = question;
    if (status === 403) {
      const withdrawals = this.#world.upstream.history.withdrawalsOf(repository);
      const isJustified = withdrawals.touches(circumstances.missFrom, circumstances.until);
      return isJustified ? undefined : 'access is denied to what was never withdrawn';
    }
    switch (question.kind) {
      case 'tags':
        return judgeTags(question, answer, circumstances, this.#world);
      case 'referrers':
        return judgeReferrers(question, answer, circumstances, this.#world);
      case 'manifest':
      case 'blob':
        return judgeContent(question, question.digest, answer, circumstances, this.#world);
      case 'tag':
        return this.#problemOfTag(question, answer, circumstances);
    }
  }

  #problemOfTag(question: Question & { kind: 'tag' }, answer: Answer, circumstances: Circumstances): Verdict {
    const { repository, tag } = question;
    const { history } = this.#world.upstream;
    const { tagFrom, missFrom, until, mayBeStale } = circumstances;
    if (answer.status === 404) {
      const wasGone = history.tagBetween(repository, tag, missFrom, until).has(undefined);
      return wasGone ? undefined : 'a tag is said not to exist that was never deleted';
    }
    const digest = answer.headers['docker-content-digest'];
    const content = this.#world.catalogue.find(String(digest));
    const age = content ? history.ageOf(repository, tag, content.digest) : -1;
    if (!content || age === -1) return 'a tag points to what it never pointed to';
    if (!mayBeStale) {
      if (!history.tagBetween(repository, tag, tagFrom, until).has(content.digest)) {
        return 'a tag points to what it pointed to long ago';
      }
      if (history.withdrawalsOf(repository).covers(tagFrom, until)) {
        return 'a tag is served of a repository that was withdrawn long ago';
      }
    }
    return (
      this.#problemOfAge(`${repository}:${tag}`, age, answer, mayBeStale) ??
      judgeContent(question, content.digest, answer, circumstances, this.#world)
    );
  }

  /** Nobody is served an older image who could know that somebody was served a newer one before. */
  #problemOfAge(key: string, age: number, { startedAt, endedAt }: Answer, mayBeStale: boolean): Verdict {
    const newest = this.#newest.get(key);
    if (newest && age < newest.age) {
      const isJustified = mayBeStale || startedAt <= newest.at;
      return isJustified ? undefined : 'a tag points to an older image than it was seen to point to before';
    }
    if (!newest || age > newest.age) this.#newest.set(key, { age, at: endedAt });
    return undefined;
  }
}

/** What no answer may be, whatever happens. */
export function problemOfAny(answer: Answer, { mayFail }: Pick<Circumstances, 'mayFail'>): Verdict {
  const { status, headers, body, hasLeft, isComplete } = answer;
  if (answer.isHung) return 'an answer hangs';
  if (hasLeft) return undefined;
  if (status === undefined) return mayFail ? undefined : 'there is no answer, and the mirror was there';
  if (status === 401 || headers['www-authenticate'] !== undefined) return 'a client is asked for credentials';
  if (SECRETS.test(JSON.stringify(headers)) || SECRETS.test(body.toString('latin1')))
    return 'an answer tells a secret';
  if (status === 500 || status === 501 || status > 503) return 'the mirror failed';
  if (headers['content-encoding'] !== undefined) return 'an answer is encoded';
  if (status < 400) return undefined;
  const retryAfter = headers['retry-after'];
  if (
    retryAfter !== undefined &&
    !(/^\d+$/.test(retryAfter) && Number(retryAfter) <= MAX_RETRY_AFTER_SECONDS)
  ) {
    return 'Retry-After makes no sense';
  }
  if (status === 429 && retryAfter === undefined) return 'a 429 does not say when to come back';
  if (headers['content-type'] !== 'application/json') return 'an error is not in JSON';
  if (headers['docker-content-digest'] !== undefined || headers.etag !== undefined) {
    return 'an error has the headers of content';
  }
  if (!isComplete || body.length === 0) return undefined;
  return isErrorBody(body) ? undefined : 'an error has not the form that the OCI gives it';
}

function isErrorBody(body: Buffer): boolean {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { code?: unknown; message?: unknown }[] };
    return (
      errors?.length === 1 && /^[A-Z_]+$/.test(String(errors[0]?.code)) && String(errors[0]?.message) !== ''
    );
  } catch {
    return false;
  }
}
