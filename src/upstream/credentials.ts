/** Who we are to an upstream, asked for each time it is needed, so that a file that has changed is picked up. */
import { readFile } from 'node:fs/promises';
import { Secret } from '../lib/secret.ts';
import { UpstreamError } from './upstream.ts';

export type Credentials =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'password'; readonly username: string; readonly password: Secret }
  | { readonly kind: 'token'; readonly token: Secret };

/** @throws UpstreamError `misconfigured` where they can't be read */
export type CredentialsSource = () => Promise<Credentials>;

export type SecretOrFile = Secret | { readonly file: string };

export type CredentialsSettings =
  | { readonly kind: 'password'; readonly username: string; readonly password: SecretOrFile }
  | { readonly kind: 'token'; readonly token: SecretOrFile };

export const ANONYMOUS: Credentials = { kind: 'anonymous' };

export function credentialsFrom(settings: CredentialsSettings | undefined): CredentialsSource {
  return async () => {
    switch (settings?.kind) {
      case undefined:
        return ANONYMOUS;
      case 'password':
        return { ...settings, password: await read(settings.password) };
      case 'token':
        return { ...settings, token: await read(settings.token) };
    }
  };
}

export function basicAuthorization(username: string, password: Secret): string {
  return `Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`;
}

async function read(secret: SecretOrFile): Promise<Secret> {
  if (secret instanceof Secret) return secret;
  let text: string;
  try {
    text = await readFile(secret.file, 'utf8');
  } catch (cause) {
    throw new UpstreamError('misconfigured', `the credentials in ${secret.file} can't be read`, { cause });
  }
  const value = text.replace(/\r?\n$/, '');
  if (value === '') throw new UpstreamError('misconfigured', `there are no credentials in ${secret.file}`);
  return new Secret(value);
}
