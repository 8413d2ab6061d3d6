/** Peers whose caches hold all that will be asked for, in front of a registry that has it. */
import { createHash } from 'node:crypto';
import { get } from 'node:http';
import { get as getTls } from 'node:https';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { MANIFEST_TYPE } from '../images.ts';
import { hammers, pull } from '../load/client.ts';
import { peersOf } from '../peers/peers.ts';
import type { Options, PeerName, Running, Tls } from '../support/scenario.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import { UpstreamRegistry } from '../upstream/registry.ts';

/** Distribution stores some seconds after it has answered. */
const FILL_PATIENCE_MS = 120_000;
const FILL_POLL_MS = 200;
const FILL_CONNECTIONS = 4;

/** A certificate for the loopback that anybody may have the key of. */
const TLS: Tls = {
  certificate: join(import.meta.dirname, '../../test/support/tls/a.crt'),
  key: join(import.meta.dirname, '../../test/support/tls/a.key'),
};

export interface WarmPeer {
  readonly name: PeerName;
  readonly running: Running;
}

export interface WarmPeers extends AsyncDisposable {
  readonly peers: readonly WarmPeer[];
  readonly upstream: UpstreamRegistry;
}

export interface Warming {
  readonly isTls?: boolean;
  /** Puts the content into the upstream. */
  fill(upstreamUrl: string): Promise<void>;
  /** What each peer is to hold. */
  readonly paths: readonly string[];
}

/** @throws Error where a peer gives other bytes than their digest says, or goes on asking upstream for them */
export async function startWarmPeers(options: Options, warming: Warming): Promise<WarmPeers> {
  await using stack = new AsyncDisposableStack();
  const directory = async (name: string) => {
    const path = await freshDirectory(name);
    stack.defer(() => removeDirectory(path));
    return path;
  };
  const upstream = stack.use(await UpstreamRegistry.start(await directory('upstream')));
  await warming.fill(upstream.url);
  const peers: WarmPeer[] = [];
  for (const peer of peersOf(options)) {
    const setup = {
      upstreamUrl: upstream.url,
      directory: await directory(peer.name),
      ...(warming.isTls ? { tls: TLS } : {}),
    };
    const running = stack.use(await peer.start(setup));
    await warm(running, upstream, warming.paths);
    peers.push({ name: peer.name, running });
  }
  const started = stack.move();
  return { peers, upstream, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

async function warm({ url }: Running, upstream: UpstreamRegistry, paths: readonly string[]): Promise<void> {
  for (const path of paths) await verify(`${url}${path}`);
  // About where a tag points, Distribution asks each time.
  const byDigest = paths.filter((path) => path.includes('/sha256:'));
  const deadline = performance.now() + FILL_PATIENCE_MS;
  for (;;) {
    await upstream.traffic();
    const pullers = hammers(Math.min(FILL_CONNECTIONS, byDigest.length), byDigest);
    const { errors, firstError } = await pull({ url, pullers });
    if (errors > 0) throw new Error(`${url} fails while its cache is filled: ${firstError ?? ''}`);
    if ((await upstream.traffic()).requests === 0) return;
    if (performance.now() > deadline) throw new Error(`${url} still asks upstream for what it has had`);
    await setTimeout(FILL_POLL_MS);
  }
}

/** Once, byte for byte: the load client drops what it gets. */
async function verify(url: string): Promise<void> {
  const expected = /sha256:[0-9a-f]{64}$/.exec(url)?.[0];
  const hash = createHash('sha256');
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  // Without it Distribution says 404 of an OCI manifest.
  const options = { agent: false, headers: { Accept: MANIFEST_TYPE } };
  const request = url.startsWith('https:')
    ? getTls(url, { ...options, rejectUnauthorized: false })
    : get(url, options);
  request.on('error', reject).on('response', (response) => {
    response.on('data', (chunk: Buffer) => hash.update(chunk));
    response.on('error', reject).on('end', () => resolve(response.statusCode));
  });
  const status = await promise;
  if (status !== 200) throw new Error(`${url}: status ${String(status)}`);
  const digest = `sha256:${hash.digest('hex')}`;
  if (expected !== undefined && digest !== expected) throw new Error(`${url} has the digest ${digest}`);
}
