/**
 * Bearer tokens of token services (distribution-spec's "token authentication", as Docker defined it): fetched once
 * however many wait, kept per realm, service, scope and identity, renewed before they expire.
 */
import { LRUCache } from 'lru-cache';
import { SingleFlight, untilAborted } from '../lib/single-flight.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { failed, parseJson, readBody, refusalOf, type HttpRequest } from './http-answer.ts';
import type { Transport } from './transport.ts';
import { UpstreamError } from './upstream.ts';

/** What a Bearer challenge asks for; its realm is one that may be asked. */
export interface BearerChallenge {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
}

/** What a request carries to be let in. */
export interface Authorization {
  /** The value of the header. */
  readonly header: string;
  /** Only of a token from the cache: drops it there, because the registry took it no more. */
  readonly forget?: () => void;
}

interface Token {
  readonly value: string;
  readonly renewAt: number;
}

const MAX_TOKENS = 1000;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** By the specification, where a service does not say. */
const DEFAULT_LIFETIME_SECONDS = 60;
/** The rest is for a request on its way, and for clocks that run apart. */
const USED_SHARE_OF_LIFETIME = 0.8;

export class BearerAuth {
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  readonly #fetches = new SingleFlight<string, Token>();

  /** @param timeoutMs for all of an answer */
  constructor(transport: Transport, timeoutMs: number, now: () => number) {
    this.#transport = transport;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /** @throws UpstreamError, or the signal's reason; one who leaves does not end the fetch for the others */
  async authorize(
    challenge: BearerChallenge,
    credentials: Credentials,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const { realm, service, scope } = challenge;
    const identity = credentials.kind === 'password' ? credentials.username : null;
    const key = JSON.stringify([realm.href, service, scope, identity]);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && this.#now() < cached.renewAt) {
      const forget = () => {
        // Unless somebody else, refused as well, has already replaced it.
        if (this.#tokens.get(key) === cached) this.#tokens.delete(key);
      };
      return { header: `Bearer ${cached.value}`, forget };
    }
    const fetchOnce = this.#fetches.run(key, async () => {
      // Those who wait may all leave: without an end of its own, it could keep the others from a new one.
      const late = new AbortController();
      const reason = new UpstreamError(
        'unreachable',
        `${realm.host} gave no token within ${this.#timeoutMs} ms`,
      );
      const timer = setTimeout(() => late.abort(reason), this.#timeoutMs);
      try {
        const token = await this.#fetch(challenge, credentials, late.signal);
        this.#tokens.set(key, token);
        return token;
      } finally {
        clearTimeout(timer);
      }
    });
    return { header: `Bearer ${(await untilAborted(fetchOnce, signal)).value}` };
  }

  async #fetch(
    { realm, service, scope }: BearerChallenge,
    credentials: Credentials,
    signal: AbortSignal,
  ): Promise<Token> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', scope);
    const request: HttpRequest = {
      kind: 'token',
      method: 'GET',
      url,
      headers:
        credentials.kind === 'password'
          ? { authorization: basicAuthorization(credentials.username, credentials.password) }
          : {},
      what: `a token for ${scope.slice(0, 300)}`,
      signal,
    };
    const askedAt = this.#now();
    const answer = await this.#transport.send(request);
    // A token service that knows the password refuses a repository by a token that does not do, or by 403.
    if (answer.status === 401 && credentials.kind === 'password') {
      throw failed(request, 'misconfigured', '401, the user name or the password is wrong');
    }
    if (answer.status !== 200) throw refusalOf(answer);
    const bytes = await readBody(answer, MAX_ANSWER_BYTES);
    const json = (parseJson(answer, bytes) ?? {}) as Record<string, unknown>;
    const value = [json['access_token'], json['token']].find(
      (text) => typeof text === 'string' && text !== '',
    );
    if (typeof value !== 'string' || !isToken(value)) {
      throw failed(request, 'protocol', 'the answer has no token, or one that no header can hold');
    }
    const lifetime = json['expires_in'];
    const seconds = typeof lifetime === 'number' && lifetime > 0 ? lifetime : DEFAULT_LIFETIME_SECONDS;
    return { value, renewAt: askedAt + seconds * 1000 * USED_SHARE_OF_LIFETIME };
  }
}

/** Whether a header can hold it; those of ECR have more than 4 KiB. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]{1,65536}$/.test(text);
}
