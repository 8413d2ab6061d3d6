/** Entrepôt as an operator runs it: the build, its defaults, its log in a file, its metrics on. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MissingError } from '../support/programs.ts';
import type { Peer, PeerName, Running, Setup } from '../support/scenario.ts';
import { freePort, startServer } from '../support/server.ts';

/** `BENCH_DIST` names another build, to measure one against the other. */
const DIST = process.env['BENCH_DIST'] ?? join(import.meta.dirname, '../../dist');

/** @param env settings of this variant beside the defaults */
export function entrepot(name: PeerName, env: Readonly<Record<string, string>> = {}): Peer {
  const main = join(DIST, 'main.js');
  return {
    name,
    get version() {
      if (!existsSync(main)) throw new MissingError('there is no build of entrepot; run: npm run build');
      const version = execFileSync(process.execPath, [main, '--version'], { encoding: 'utf8' }).trim();
      return `${version} on Node.js ${process.versions.node}`;
    },
    start: (setup) => start(main, setup, env),
  };
}

async function start(main: string, setup: Setup, env: Readonly<Record<string, string>>): Promise<Running> {
  const { upstreamUrl, directory, tls } = setup;
  const port = await freePort();
  return startServer({
    command: [process.execPath, main, 'serve'],
    directory,
    env: {
      ENTREPOT_LISTEN: `127.0.0.1:${port}`,
      ENTREPOT_ADMIN_LISTEN: `127.0.0.1:${await freePort()}`,
      ENTREPOT_DATA_DIR: join(directory, 'data'),
      ENTREPOT_UPSTREAM_URL: upstreamUrl,
      ...(tls ? { ENTREPOT_TLS_CERTIFICATE: tls.certificate, ENTREPOT_TLS_KEY: tls.key } : {}),
      ...env,
    },
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
  });
}
