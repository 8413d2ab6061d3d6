/**
 * Which Authorization a request carries: ours at the upstream's own origin, an anonymous token of its own at any
 * other, and nothing where nobody has asked. What a host asked for is remembered, so that it has to ask once.
 */
import { LRUCache } from 'lru-cache';
import type { RepositoryName } from '../oci/reference.ts';
import { isToken, type Authorization, type BearerAuth, type BearerChallenge } from './bearer-auth.ts';
import { parseChallenges } from './challenge.ts';
import { ANONYMOUS, basicAuthorization, type Credentials, type CredentialsSource } from './credentials.ts';
import { isRealmAllowed } from './realm-policy.ts';
import { UpstreamError } from './upstream.ts';

export interface AuthorizerOptions {
  readonly upstream: URL;
  readonly credentials: CredentialsSource;
  /** Hosts, besides those that the realm policy allows, that may be a token service. */
  readonly allowedRealms: readonly string[];
  readonly bearer: BearerAuth;
}

export interface Target {
  readonly url: URL;
  readonly repository: RepositoryName;
  readonly signal: AbortSignal;
}

type Demand = { readonly scheme: 'basic' } | ({ readonly scheme: 'bearer' } & BearerChallenge);

const MAX_DEMANDS = 10_000;

export class Authorizer {
  readonly #upstream: URL;
  readonly #credentials: CredentialsSource;
  readonly #allowedRealms: readonly string[];
  readonly #bearer: BearerAuth;
  /** By origin and repository: scopes, and at some hosts the need for a token, are a repository's. */
  readonly #demands = new LRUCache<string, Demand>({ max: MAX_DEMANDS });

  constructor(options: AuthorizerOptions) {
    this.#upstream = options.upstream;
    this.#credentials = options.credentials;
    this.#allowedRealms = options.allowedRealms;
    this.#bearer = options.bearer;
  }

  /** From what is known; undefined where nothing was asked for, or we do not have it. */
  async authorize(target: Target): Promise<Authorization | undefined> {
    return this.#satisfy(target, await this.#credentialsFor(target.url));
  }

  /**
   * After a refusal.
   * @param challenge the WWW-Authenticate header that came with it
   * @returns undefined where there is nothing better to send than what was refused
   * @throws UpstreamError `protocol` for a challenge that asks us to go where we must not
   */
  async renew(
    target: Target,
    refused: Authorization | undefined,
    challenge: string | undefined,
  ): Promise<Authorization | undefined> {
    const credentials = await this.#credentialsFor(target.url);
    const demand = credentials.kind === 'token' ? undefined : this.#demandIn(challenge ?? '', target);
    if (demand !== undefined) this.#demands.set(keyOf(target), demand);
    refused?.forget?.();
    const next = await this.#satisfy(target, credentials);
    return next?.header === refused?.header ? undefined : next;
  }

  async #satisfy(target: Target, credentials: Credentials): Promise<Authorization | undefined> {
    if (credentials.kind === 'token') {
      const token = credentials.token.reveal();
      if (!isToken(token)) throw new UpstreamError('misconfigured', 'the configured token fits in no header');
      return { header: `Bearer ${token}` };
    }
    const demand = this.#demands.get(keyOf(target));
    switch (demand?.scheme) {
      case undefined:
        return undefined;
      case 'basic':
        if (credentials.kind !== 'password') return undefined;
        return { header: basicAuthorization(credentials.username, credentials.password) };
      case 'bearer':
        try {
          return await this.#bearer.authorize(demand, credentials, target.signal);
        } catch (error) {
          // The registry may have moved to another token service: the next time, it is asked.
          this.#demands.delete(keyOf(target));
          throw error;
        }
    }
  }

  #demandIn(header: string, { url, repository }: Target): Demand | undefined {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    if (bearer === undefined) {
      return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined;
    }
    return {
      scheme: 'bearer',
      realm: this.#realmIn(bearer.get('realm'), url),
      service: bearer.get('service'),
      scope: this.#scopeFor(bearer.get('scope'), url, repository),
    };
  }

  #realmIn(text: string | undefined, registry: URL): URL {
    const realm = URL.parse(text ?? '');
    if (realm === null) {
      throw new UpstreamError('protocol', `${registry.host} asks for a token, but not by a URL`);
    }
    if (!isRealmAllowed(realm, registry, this.#allowedRealms)) {
      throw new UpstreamError(
        'protocol',
        `${registry.host} asks for a token of ${realm.protocol}//${realm.host}, which may get none of our requests; ` +
          `where that is right, allow it with the upstream's setting "realms"`,
      );
    }
    realm.username = '';
    realm.password = '';
    return realm;
  }

  /** Our own, so that nobody has us fetch a token for more; ECR Public wants its `aws`, which names no action. */
  #scopeFor(asked: string | undefined, url: URL, repository: RepositoryName): string {
    const own = `repository:${repository}:pull`;
    if (asked === undefined || asked === '') return own;
    // Elsewhere the repository has another name (registry.k8s.io redirects to pkg.dev), and the token is anybody's.
    return this.#isOwn(url) && asked.includes(':') ? own : asked;
  }

  #credentialsFor(url: URL): Promise<Credentials> {
    return this.#isOwn(url) ? this.#credentials() : Promise.resolve(ANONYMOUS);
  }

  #isOwn(url: URL): boolean {
    return url.origin === this.#upstream.origin;
  }
}

function keyOf({ url, repository }: Target): string {
  return `${url.origin} ${repository}`;
}
