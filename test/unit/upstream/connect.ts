/** A client of a scripted upstream, with what its tests have in common. */
import { expect } from 'vitest';
import { parseReference, parseRepositoryName, type Reference } from '../../../src/oci/reference.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { credentialsFrom, type CredentialsSource } from '../../../src/upstream/credentials.ts';
import { RegistryUpstream, type RegistryUpstreamOptions } from '../../../src/upstream/registry-upstream.ts';
import type { UpstreamFailure } from '../../../src/upstream/upstream.ts';
import { buildImage } from '../../support/images.ts';
import { ScriptedUpstream, type ScriptedUpstreamOptions } from '../../support/scripted-upstream.ts';

export const REPOSITORY = parseRepositoryName('library/alpine');
export const TAG = parseReference('3');
export const IMAGE = buildImage();
export const PASSWORD = 'hunter2-and-more';
export const ACCOUNT = { username: 'jane', password: PASSWORD };

export type ConnectOptions = Partial<Omit<RegistryUpstreamOptions, 'url'>> & {
  /** Behind the registry's own URL. */
  readonly path?: string;
};

export function connect(registry: { readonly url: string }, options: ConnectOptions = {}): RegistryUpstream {
  return new RegistryUpstream({
    name: 'scripted',
    credentials: credentialsFrom(undefined),
    allowedRealms: [],
    allowedRedirects: [],
    maxConnections: 50,
    connectTimeoutMs: 10_000,
    headersTimeoutMs: 10_000,
    bodyTimeoutMs: 10_000,
    userAgent: 'entrepot/test',
    ...options,
    url: new URL(options.path ?? '', registry.url),
  });
}

/** A registry that has IMAGE as library/alpine:3, and a client of it. */
export interface Connected extends AsyncDisposable {
  readonly registry: ScriptedUpstream;
  readonly upstream: RegistryUpstream;
}

export async function connected(
  scripted: ScriptedUpstreamOptions = {},
  options: ConnectOptions = {},
): Promise<Connected> {
  const registry = await ScriptedUpstream.start(scripted);
  registry.push(REPOSITORY, '3', IMAGE);
  const upstream = connect(registry, options);
  return {
    registry,
    upstream,
    [Symbol.asyncDispose]: async () => {
      await upstream.close();
      await registry.close();
    },
  };
}

export function passwordOf(account: {
  readonly username: string;
  readonly password: string;
}): CredentialsSource {
  return credentialsFrom({
    kind: 'password',
    username: account.username,
    password: new Secret(account.password),
  });
}

export function tokenOf(token: string): CredentialsSource {
  return credentialsFrom({ kind: 'token', token: new Secret(token) });
}

export function never(): AbortSignal {
  return new AbortController().signal;
}

export function byDigest(content: { readonly digest: string }): Reference {
  return parseReference(content.digest);
}

/** For `rejects`. */
export function failure(kind: UpstreamFailure, message?: RegExp): object {
  return { name: 'UpstreamError', failure: kind, ...(message ? { message: matching(message) } : {}) };
}

function matching(pattern: RegExp): string {
  return expect.stringMatching(pattern) as string;
}
