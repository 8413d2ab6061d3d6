/**
 * nginx as a caching proxy of a registry, as its users set it up: content by digest is kept for long, a tag for a
 * minute, one request at a time fills the cache, and files go out by sendfile. It checks no digest.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { program } from '../support/programs.ts';
import type { Peer, PeerName, Running, Setup, Tls } from '../support/scenario.ts';
import { freePort, startServer } from '../support/server.ts';

/** @param directives of this variant, for the whole server */
export function nginx(name: PeerName, directives = ''): Peer {
  return {
    name,
    get version() {
      // It says so on standard error.
      const { stderr } = spawnSync(program('nginx'), ['-v'], { encoding: 'utf8' });
      return /nginx\/(\S+)/.exec(stderr)?.[1] ?? stderr.trim();
    },
    start: (setup) => start(setup, directives),
  };
}

async function start({ upstreamUrl, directory, tls }: Setup, directives: string): Promise<Running> {
  const port = await freePort();
  const configuration = join(directory, 'nginx.conf');
  await mkdir(join(directory, 'cache'), { recursive: true });
  await writeFile(configuration, configurationOf({ upstreamUrl, port, tls, directives }));
  return startServer({
    command: [program('nginx'), '-p', directory, '-c', configuration, '-e', join(directory, 'error.log')],
    directory,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
  });
}

interface Configuration {
  readonly upstreamUrl: string;
  readonly port: number;
  readonly tls: Tls | undefined;
  readonly directives: string;
}

export function configurationOf({ upstreamUrl, port, tls, directives }: Configuration): string {
  return `daemon off;
# Started by the superuser, its workers would else not reach the directory.
${userInfo().uid === 0 ? 'user root root;' : ''}
worker_processes 2;
pid nginx.pid;
error_log error.log;
events { worker_connections 4096; }
http {
  access_log access.log;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path body;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/octet-stream;
  keepalive_requests 1000000;
  proxy_cache_path cache levels=1:2 keys_zone=registry:64m max_size=200g inactive=30d use_temp_path=off;
  upstream registry {
    server ${new URL(upstreamUrl).host};
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port}${tls ? ' ssl' : ''} backlog=4096;
${tls ? `    ssl_certificate ${tls.certificate};\n    ssl_certificate_key ${tls.key};\n` : ''}\
    ssl_protocols TLSv1.3;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_cache registry;
    proxy_cache_key $request_uri;
    proxy_cache_lock on;
    proxy_ignore_headers Cache-Control Expires;
    ${directives}
    location / {
      proxy_pass http://registry;
      proxy_cache off;
    }
    location ~ ^/v2/.+/(manifests|blobs)/sha256: {
      proxy_pass http://registry;
      proxy_cache_valid 200 30d;
    }
    location ~ ^/v2/.+/manifests/ {
      proxy_pass http://registry;
      proxy_cache_key "$request_uri $http_accept";
      proxy_cache_valid 200 60s;
    }
  }
}
`;
}
