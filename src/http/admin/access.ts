/**
 * Who may see and do what over the admin API. In short: whoever is on this machine sees all, whoever has the token does
 * all, and no page of another site does anything. docs/admin-api.yaml has the rules in full.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { AccessView } from '../../admin/views.ts';
import { Secret } from '../../lib/secret.ts';
import { AdminRefusal } from './refusal.ts';

export interface AccessOptions {
  /** As it is configured: whether strangers can reach the listener follows from it. */
  readonly listenHost: string;
  /** A file is read whenever the token is needed. */
  readonly token: Secret | { readonly file: string } | undefined;
}

export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** What that request could do without a token. */
  view(request: IncomingMessage): AccessView {
    const hasToken = this.#options.token !== undefined;
    const isLocal = this.#isLocal(request);
    return {
      reads: hasToken && !isLocal ? 'token' : 'open',
      changes: hasToken ? 'token' : isLocal ? 'open' : 'refused',
    };
  }

  /** @throws AdminRefusal 401 or 403 */
  async check(request: IncomingMessage, need: 'open' | 'read' | 'change'): Promise<void> {
    const { listenHost, token } = this.#options;
    // A name of theirs that leads to us (DNS rebinding) makes other people's pages ours, to a browser; no token, though.
    if (isLoopback(listenHost) && token === undefined && !this.#isLocal(request)) {
      throw new AdminRefusal(
        403,
        'ask for it as localhost and through no proxy, or set admin.token (ENTREPOT_ADMIN_TOKEN): the request says that it comes from elsewhere',
      );
    }
    if (need === 'open') return;
    if (token === undefined && !this.#isLocal(request) && isPublicName(request.headers.host)) {
      throw new AdminRefusal(
        403,
        'ask for it by an IP address or by a name without a dot, or set admin.token (ENTREPOT_ADMIN_TOKEN): other names can be made to lead here',
      );
    }
    refuseOtherSites(request, need);
    const wanted = this.view(request)[need === 'read' ? 'reads' : 'changes'];
    if (wanted === 'refused') {
      throw new AdminRefusal(
        403,
        'nothing can be changed here until admin.token (ENTREPOT_ADMIN_TOKEN) is set, as others can reach this address',
      );
    }
    if (wanted === 'token') await this.#checkToken(request.headers.authorization);
  }

  #isLocal({ headers }: IncomingMessage): boolean {
    // It may have put a Host of its own in place of the one that was asked for, as Apache does.
    if (PROXY_HEADERS.some((name) => name in headers)) return false;
    const { listenHost } = this.#options;
    const asked = hostnameOf(headers.host ?? '');
    return isLoopback(listenHost) && asked !== undefined && (isLoopback(asked) || asked === listenHost);
  }

  async #checkToken(authorization = ''): Promise<void> {
    const given = /^Bearer +(?<token>\S+) *$/i.exec(authorization)?.groups?.['token'];
    if (given !== undefined && isSame(given, await this.#token())) return;
    throw new AdminRefusal(
      401,
      given === undefined
        ? 'this needs the token of admin.token, as "Authorization: Bearer <token>"'
        : 'that is not the token of admin.token',
      { headers: { 'WWW-Authenticate': 'Bearer realm="entrepot"' } },
    );
  }

  /** @throws Error where its file can't be read or holds none: nobody is let in then */
  async #token(): Promise<string> {
    const { token } = this.#options;
    if (token === undefined || token instanceof Secret) return token?.reveal() ?? '';
    let text: string;
    try {
      text = await readFile(token.file, 'utf8');
    } catch (cause) {
      throw new Error(`the admin token in ${token.file} can't be read`, { cause });
    }
    const value = text.replace(/\r?\n$/, '');
    if (value.length < MIN_TOKEN_LENGTH) {
      throw new Error(`the admin token in ${token.file} has less than ${MIN_TOKEN_LENGTH} characters`);
    }
    return value;
  }
}

const MIN_TOKEN_LENGTH = 16;
/** By which a proxy says that it is one. */
const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/** In a time that says nothing of how much of it is right. */
function isSame(given: string, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(token));
}

function isLoopback(host: string): boolean {
  return /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/i.test(host);
}

/** One that its owner may have lead here. Names without a dot are given by networks and machines, addresses by nobody. */
function isPublicName(host = ''): boolean {
  const name = hostnameOf(host);
  return name === undefined || (name.includes('.') && isIP(name) === 0);
}

/** Without port and brackets; of what a Host header may hold, nothing else. */
function hostnameOf(host: string): string | undefined {
  if (!/^[\w.:[\]-]+$/.test(host)) return undefined;
  return URL.parse(`http://${host}`)?.hostname.replace(/^\[(.*)\]$/, '$1');
}

/**
 * Browsers say on whose behalf they ask: the new ones by Sec-Fetch-Site, all of them by Origin. No browser shows other
 * sites what they read here, but they would hold places of the event stream. A link may lead here.
 */
function refuseOtherSites({ headers }: IncomingMessage, need: 'read' | 'change'): void {
  const { origin, host = '' } = headers;
  const site = headers['sec-fetch-site'] ?? 'none';
  const isOther =
    (site !== 'same-origin' && site !== 'none') || (origin !== undefined && !isOriginOf(origin, host));
  if (!isOther || (need === 'read' && headers['sec-fetch-mode'] === 'navigate')) return;
  throw new AdminRefusal(403, 'pages of other sites can see and change nothing here');
}

/** Behind a proxy that speaks TLS the scheme is another, and with it the port that goes without saying. */
function isOriginOf(origin: string, host: string): boolean {
  const url = URL.parse(origin);
  return url !== null && url.host !== '' && url.host === URL.parse(`${url.protocol}//${host}`)?.host;
}
