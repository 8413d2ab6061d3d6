/** The settings of one upstream: where it is, what it is called, who asks it, and how long that may take. */
import * as z from 'zod';
import { checkCredentials } from './contradictions.ts';
import * as kinds from './kinds.ts';
import type { ReadFile } from './kinds.ts';
import { optional, required, withDefault } from './setting.ts';

const HOUR = 3_600_000;

export type ParsedUpstream = z.infer<ReturnType<typeof upstreamSchema>>;

/** @param readFile for the files that settings name */
export function upstreamSchema(readFile: ReadFile) {
  return z
    .strictObject({
      url: required(kinds.registryUrl, {
        env: 'ENTREPOT_UPSTREAM_URL',
        defaultNote: '`https://registry-1.docker.io` for the first; the others need one',
        description: 'The registry to mirror. It may have a path, which comes before `/v2/`.',
      }),
      namespaces: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_NAMESPACES',
        defaultNote: "the URL's host, and `docker.io` for Docker Hub, or else for the first upstream",
        description:
          'The registry names that it answers for, in `?ns=` and as a path prefix. A name belongs to one upstream only.',
      }),
      username: optional(kinds.username, {
        env: 'ENTREPOT_UPSTREAM_USERNAME',
        description:
          'Who pulls from the upstream. Whatever this account may read, every client of the mirror may read too.',
      }),
      password: optional(kinds.secret, {
        env: 'ENTREPOT_UPSTREAM_PASSWORD',
        description: 'The password of `username`, or an access token in its place.',
      }),
      passwordFile: optional(kinds.secretFile(readFile), {
        env: 'ENTREPOT_UPSTREAM_PASSWORD_FILE',
        description:
          'A file with the password, such as a Docker or Kubernetes secret. Read whenever it is needed, so that a new password needs no restart.',
      }),
      token: optional(kinds.secret, {
        env: 'ENTREPOT_UPSTREAM_TOKEN',
        description:
          'A bearer token that the registry takes as it is, instead of a user name and a password.',
      }),
      tokenFile: optional(kinds.secretFile(readFile), {
        env: 'ENTREPOT_UPSTREAM_TOKEN_FILE',
        description: 'A file with the token. Read whenever it is needed.',
      }),
      realms: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_REALMS',
        description:
          "Hosts that may act as its token service although they are not of the registry's own domain. The password is sent to them.",
      }),
      redirects: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_REDIRECTS',
        description:
          'Hosts that it may send us to for its bytes although their addresses are private, as those of an object store in the same network. Public addresses need no entry.',
      }),
      ...connectionSettings(),
    })
    .superRefine((upstream, check) => checkCredentials(upstream, check));
}

function connectionSettings() {
  return {
    maxConnections: withDefault('32', kinds.integer(1, 1024), {
      env: 'ENTREPOT_UPSTREAM_MAX_CONNECTIONS',
      description:
        'How many connections to it may carry blobs at once. Short questions, such as where a tag points, have up to sixteen of their own.',
    }),
    connectTimeout: withDefault('5s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_CONNECT_TIMEOUT',
      description: 'How long a connection, with its TLS handshake, may take to come about.',
    }),
    headersTimeout: withDefault('20s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_HEADERS_TIMEOUT',
      description:
        "How long it may take to begin its answer. Below the 30s after which containerd gives up on the mirror's.",
    }),
    bodyTimeout: withDefault('30s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_BODY_TIMEOUT',
      description:
        'How long it may be silent in the middle of an answer. After that the connection counts as broken, and a download goes on over another one.',
    }),
  };
}
