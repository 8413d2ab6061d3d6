/**
 * Who may ask the scripted upstream for what: its token service, which gives a token to everybody as Docker Hub's does,
 * and the check of what the registry then gets, by Bearer or Basic.
 */
import { randomUUID } from 'node:crypto';
import { errorReply, jsonReply, type Reply } from './scripted-upstream-reply.ts';
import type { RecordedRequest } from './scripted-upstream-request.ts';

export type AuthScheme = 'none' | 'bearer' | 'basic';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface AuthOptions {
  /** Default `bearer`. */
  readonly auth?: AuthScheme;
  /** The one account there is. Whoever logs in with it may read private repositories; wrong ones are refused. */
  readonly credentials?: Credentials;
  /** Default true. Where false, the token service refuses whoever does not log in. */
  readonly allowAnonymous?: boolean;
  /** Default 300. */
  readonly tokenLifetimeSeconds?: number;
  /** Which of the two names the token comes under; default both, as on Docker Hub. */
  readonly tokenFields?: readonly ('token' | 'access_token')[];
  /** Default true; without it a token lives 60 seconds by the token specification, here as long as it is set to. */
  readonly tellsTokenLifetime?: boolean;
}

interface Grant {
  readonly scopes: readonly string[];
  readonly isAnonymous: boolean;
  expiresAt: number;
}

const SERVICE = 'registry.scripted.test';

export class Auth {
  readonly #options: AuthOptions;
  readonly #realm: () => string;
  readonly #grants = new Map<string, Grant>();
  readonly scheme: AuthScheme;

  constructor(options: AuthOptions, realm: () => string) {
    this.#options = options;
    this.#realm = realm;
    this.scheme = options.auth ?? 'bearer';
  }

  /** GET /token */
  answer(request: RecordedRequest): Reply {
    if (request.path !== '/token') return { status: 404 };
    if (request.method !== 'GET') return { status: 405 };
    const identity = this.#identityOf(request.headers.authorization);
    if (identity === 'wrong' || (identity === 'anonymous' && this.#options.allowAnonymous === false)) {
      return jsonReply(401, { details: 'incorrect username or password' });
    }
    const lifetime = this.#options.tokenLifetimeSeconds ?? 300;
    const token = `token-${randomUUID()}`;
    this.#grants.set(token, {
      scopes: request.query.getAll('scope').flatMap((scope) => scope.split(' ')),
      isAnonymous: identity === 'anonymous',
      expiresAt: Date.now() + lifetime * 1000,
    });
    return jsonReply(200, {
      ...Object.fromEntries((this.#options.tokenFields ?? ['token', 'access_token']).map((f) => [f, token])),
      ...(this.#options.tellsTokenLifetime === false ? {} : { expires_in: lifetime }),
      // Docker Hub tells nanoseconds.
      issued_at: new Date().toISOString().replace('Z', '048681Z'),
    });
  }

  expireTokens(): void {
    for (const grant of this.#grants.values()) grant.expiresAt = 0;
  }

  /** Undefined where the request may pass. */
  refusalOf(request: RecordedRequest, isKnown: boolean, isPrivate: boolean): Reply | undefined {
    const { repository } = request;
    if (this.scheme === 'none') return isPrivate ? errorReply(403, 'DENIED', 'access denied') : undefined;
    if (this.scheme === 'basic') {
      return this.#identityOf(request.headers.authorization) === 'user'
        ? undefined
        : unauthorized('Basic realm="Scripted Registry"', repository);
    }
    const scope = repository === undefined ? undefined : `repository:${repository}:pull`;
    const grant = this.#grants.get(/^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '');
    if (!grant) {
      const isExpired = request.headers.authorization !== undefined;
      return this.#challenge(repository, scope, isExpired ? 'invalid_token' : undefined);
    }
    if (grant.expiresAt <= Date.now()) return this.#challenge(repository, scope, 'invalid_token');
    if (repository === undefined) return undefined;
    // Docker Hub hides whether a repository is private or does not exist.
    const mayPull = grant.scopes.some((granted) => granted.startsWith(`repository:${repository}:pull`));
    if (!mayPull || !isKnown || (isPrivate && grant.isAnonymous)) {
      return this.#challenge(repository, scope, 'insufficient_scope');
    }
    return undefined;
  }

  #challenge(repository: string | undefined, scope: string | undefined, error: string | undefined): Reply {
    const parameters = [
      `realm="${this.#realm()}"`,
      `service="${SERVICE}"`,
      ...(scope === undefined ? [] : [`scope="${scope}"`]),
      ...(error === undefined ? [] : [`error="${error}"`]),
    ];
    return unauthorized(`Bearer ${parameters.join(',')}`, repository);
  }

  #identityOf(authorization: string | undefined): 'anonymous' | 'user' | 'wrong' {
    if (authorization === undefined) return 'anonymous';
    const { credentials } = this.#options;
    const expected = `${credentials?.username ?? ''}:${credentials?.password ?? ''}`;
    const isRight = authorization === `Basic ${Buffer.from(expected).toString('base64')}`;
    return credentials && isRight ? 'user' : 'wrong';
  }
}

function unauthorized(challenge: string, repository: string | undefined): Reply {
  const detail =
    repository === undefined ? null : [{ Type: 'repository', Class: '', Name: repository, Action: 'pull' }];
  return jsonReply(
    401,
    { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required', detail }] },
    { 'www-authenticate': challenge, 'docker-distribution-api-version': 'registry/2.0' },
  );
}
