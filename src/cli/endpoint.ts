/** Which mirror is meant, and the token for it: from options, the environment, or this machine's own configuration. */
import { readFileSync } from 'node:fs';
import type { Config, ListenAddress, SecretOrFile } from '../config/config.ts';
import { ADMIN_URL_VARIABLE } from '../config/environment.ts';
import { Secret } from '../lib/secret.ts';
import type { Endpoint } from './admin-client.ts';
import type { Given } from './command.ts';
import { UsageError } from './errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const TOKEN_VARIABLE = 'ENTREPOT_ADMIN_TOKEN';

/** Undefined where neither an option nor a variable names it. @throws UsageError */
export function namedUrl(given: Given, env: Environment): string | undefined {
  const option = given.text('url');
  const text = option ?? (env[ADMIN_URL_VARIABLE] || undefined);
  if (text === undefined) return undefined;
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  if (!url || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    const name = option === undefined ? ADMIN_URL_VARIABLE : '--url';
    throw new UsageError(
      `${name} is the http or https URL of the admin listener, such as http://mirror:5001`,
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/**
 * The configuration's token goes to the configuration's own address only: it is nobody else's.
 * @throws UsageError, ConfigError
 */
export async function findEndpoint(
  given: Given,
  env: Environment,
  loadConfig: () => Promise<Config>,
): Promise<Endpoint> {
  const url = namedUrl(given, env);
  const token = namedToken(given, env);
  if (url !== undefined) return { url, token };
  const { admin } = await loadConfig();
  return { url: ownUrl(admin.listen), token: token ?? (admin.token && revealed(admin.token)) };
}

/** Where this machine itself reaches what listens there. */
export function ownUrl({ host, port }: ListenAddress): string {
  const name =
    host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

function namedToken(given: Given, env: Environment): Secret | undefined {
  const option = given.text('token-file');
  if (option !== undefined) return readSecret(option, '--token-file');
  const value = env[TOKEN_VARIABLE];
  if (value) return new Secret(value);
  const file = env[`${TOKEN_VARIABLE}_FILE`];
  return file ? readSecret(file, `${TOKEN_VARIABLE}_FILE`) : undefined;
}

export function revealed(secret: SecretOrFile): Secret {
  return secret instanceof Secret ? secret : readSecret(secret.file, 'the file of a secret');
}

function readSecret(file: string, name: string): Secret {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new UsageError(`${name} can't be read: ${(cause as Error).message}`, undefined, { cause });
  }
  // A header could not carry it, and the message of whoever refuses it would show it.
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new UsageError(`${name} has to hold nothing but the secret, on one line`);
  }
  return new Secret(text);
}
