/** What doctor learns by asking an upstream itself: does it answer, is the clock right, are the credentials good, what is left. */
import type { UpstreamConfig } from '../config/config.ts';
import { parseChallenges, type Challenge } from '../upstream/challenge.ts';
import { parseRateLimit } from '../upstream/rate-limit.ts';
import { isRealmAllowed } from '../upstream/realm-policy.ts';
import { revealed } from './endpoint.ts';
import { reasonOf } from './errors.ts';
import type { Finding } from './finding.ts';
import { formatSpan } from './format.ts';
import { quotaFinding } from './quota.ts';

const TIMEOUT_MS = 10_000;
const MAX_CLOCK_ERROR_MS = 60_000;
/** Docker Hub's own, for asking what is left: a HEAD of it counts as no pull. */
const PREVIEW = 'ratelimitpreview/test';

export async function* examineUpstream(upstream: UpstreamConfig, now: () => number): AsyncIterable<Finding> {
  const check = `upstream ${upstream.name}`;
  let response: Response;
  try {
    response = await ask(`${upstream.url}/v2/`, 'GET', ownAuthorization(upstream));
  } catch (error) {
    yield {
      check,
      result: 'failed',
      found: `${upstream.url} can't be reached: ${reasonOf(error)}`,
      advice:
        'see whether this machine resolves its name and gets out: DNS, firewall, proxy, its certificate',
    };
    return;
  }
  const challenges = parseChallenges(response.headers.get('www-authenticate') ?? '');
  const isRight = response.ok || (response.status === 401 && challenges.length > 0);
  yield isRight
    ? { check, result: 'ok', found: `${upstream.url} answers` }
    : {
        check,
        result: 'failed',
        found: `${upstream.url}/v2/ answers ${response.status}, which a registry does not`,
        advice: 'see whether the URL is that of a registry',
      };
  if (!isRight) return;
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  yield* examineClock(response, now, bearer !== undefined);
  if (response.ok) {
    if (upstream.credentials?.kind === 'token') yield accepted(upstream);
  } else if (upstream.credentials?.kind === 'token') yield refused(upstream);
  else if (bearer) yield* examineToken(upstream, bearer);
  else yield await examineBasic(upstream);
}

function* examineClock(response: Response, now: () => number, hasTokens: boolean): Iterable<Finding> {
  const ms = Date.parse(response.headers.get('date') ?? '') - now();
  if (Number.isNaN(ms)) return;
  if (Math.abs(ms) <= MAX_CLOCK_ERROR_MS) {
    yield { check: 'clock', result: 'ok', found: `the same as at ${new URL(response.url).host}` };
    return;
  }
  yield {
    check: 'clock',
    result: hasTokens ? 'failed' : 'warning',
    found: `${formatSpan(Math.abs(ms))} ${ms > 0 ? 'behind' : 'ahead of'} that of ${new URL(response.url).host}`,
    advice:
      'have it set by NTP: with a wrong clock, tokens seem to be good or to have expired when they are not',
  };
}

async function* examineToken(upstream: UpstreamConfig, challenge: Challenge): AsyncIterable<Finding> {
  const check = `credentials of ${upstream.name}`;
  const realm = URL.parse(challenge.parameters.get('realm') ?? '');
  if (!realm || !isRealmAllowed(realm, new URL(upstream.url), upstream.realms)) {
    yield {
      check,
      result: 'failed',
      found: `its token service ${realm?.host ?? '(none)'} is none that it may have: the mirror does not ask it`,
      advice: 'if that is right, name the host in realms of this upstream',
    };
    return;
  }
  const service = challenge.parameters.get('service');
  if (service !== undefined) realm.searchParams.set('service', service);
  if (upstream.isDockerHub) realm.searchParams.set('scope', `repository:${PREVIEW}:pull`);
  let response: Response;
  try {
    response = await ask(realm.href, 'GET', basicAuthorization(upstream));
  } catch (error) {
    yield { check, result: 'failed', found: `${realm.host} can't be reached: ${reasonOf(error)}` };
    return;
  }
  const { status } = response;
  if (!response.ok) {
    yield status === 401 || status === 403
      ? refused(upstream)
      : { check, result: 'warning', found: `${realm.host} answers ${status}` };
    return;
  }
  yield accepted(upstream);
  const token = await tokenOf(response);
  if (upstream.isDockerHub && token !== undefined) yield* examineQuota(upstream, token);
}

async function* examineQuota({ name, url }: UpstreamConfig, token: string): AsyncIterable<Finding> {
  try {
    const response = await ask(`${url}/v2/${PREVIEW}/manifests/latest`, 'HEAD', `Bearer ${token}`);
    const quota = parseRateLimit(Object.fromEntries(response.headers), 0);
    const { remaining, limit, windowSeconds } = quota ?? {};
    yield remaining === undefined
      ? { check: `quota of ${name}`, result: 'ok', found: 'it names no limit for this account' }
      : quotaFinding(name, {
          remaining,
          ...(limit === undefined ? {} : { limit }),
          ...(windowSeconds === undefined ? {} : { windowSeconds }),
        });
  } catch (error) {
    yield { check: `quota of ${name}`, result: 'warning', found: `it can't be asked: ${reasonOf(error)}` };
  }
}

async function examineBasic(upstream: UpstreamConfig): Promise<Finding> {
  const authorization = basicAuthorization(upstream);
  if (authorization === undefined) {
    return {
      check: `credentials of ${upstream.name}`,
      result: 'failed',
      found: 'it wants a user name and a password',
      advice: 'set username and passwordFile of this upstream',
    };
  }
  try {
    const response = await ask(`${upstream.url}/v2/`, 'GET', authorization);
    return response.ok ? accepted(upstream) : refused(upstream);
  } catch (error) {
    return { check: `credentials of ${upstream.name}`, result: 'failed', found: reasonOf(error) };
  }
}

function accepted({ name, credentials }: UpstreamConfig): Finding {
  const found = credentials ? 'they are accepted' : 'it takes anonymous pulls';
  return { check: `credentials of ${name}`, result: 'ok', found };
}

function refused({ name, credentials }: UpstreamConfig): Finding {
  return {
    check: `credentials of ${name}`,
    result: 'failed',
    found: credentials ? 'they are refused' : 'it takes no anonymous pulls',
    advice: credentials
      ? 'see whether the account is locked, or its token expired'
      : 'set username and passwordFile, or tokenFile, of this upstream',
  };
}

/** What goes along with every request to the registry itself. */
function ownAuthorization({ credentials }: UpstreamConfig): string | undefined {
  return credentials?.kind === 'token' ? `Bearer ${revealed(credentials.token).reveal()}` : undefined;
}

function basicAuthorization({ credentials }: UpstreamConfig): string | undefined {
  if (credentials?.kind !== 'password') return undefined;
  const pair = `${credentials.username}:${revealed(credentials.password).reveal()}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

async function ask(
  url: string,
  method: 'GET' | 'HEAD',
  authorization: string | undefined,
): Promise<Response> {
  return fetch(url, {
    method,
    // A password goes nowhere else.
    redirect: 'manual',
    headers: authorization === undefined ? {} : { authorization },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}

/** Undefined where the answer holds none. */
async function tokenOf(response: Response): Promise<string | undefined> {
  const answer = (await response.json().catch(() => undefined)) as
    { readonly token?: unknown; readonly access_token?: unknown } | undefined;
  const token = answer?.token ?? answer?.access_token;
  return typeof token === 'string' ? token : undefined;
}
