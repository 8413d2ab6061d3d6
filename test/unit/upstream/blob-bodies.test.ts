import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DigestHasher, digestOf } from '../../../src/oci/digest.ts';
import type { RegistryUpstream } from '../../../src/upstream/registry-upstream.ts';
import { randomBytes } from '../../support/images.ts';
import { REPOSITORY, connect, never } from './connect.ts';

const BYTES = randomBytes('body', 8_000_000);
const DIGEST = digestOf(BYTES);
const TLS = join(import.meta.dirname, '../../support/tls');

/** Ways in which a registry may send it. */
const WAYS: Readonly<Record<string, (response: ServerResponse) => Promise<void>>> = {
  'at once': (response) => {
    response.setHeader('content-length', BYTES.length).end(BYTES);
    return Promise.resolve();
  },
  'in pieces': async (response) => {
    response.setHeader('content-length', BYTES.length);
    await write(response, 70_001);
    response.end();
  },
  'in chunks, large and small, with trailers': async (response) => {
    response.setHeader('trailer', 'x-checked');
    await write(response, 300_007);
    response.addTrailers({ 'x-checked': 'y'.repeat(2000) });
    response.end();
  },
};

async function write(response: ServerResponse, length: number): Promise<void> {
  let [position, round] = [0, 0];
  while (position < BYTES.length) {
    round += 1;
    const end = position + (round % 3 === 0 ? 11 : length);
    if (!response.write(BYTES.subarray(position, end))) await once(response, 'drain');
    position = end;
  }
}

const answer: RequestListener = (request, response) => {
  const way = decodeURIComponent(/^\/([^/]*)\/v2\//.exec(request.url ?? '')?.[1] ?? '');
  void WAYS[way]!(response);
};

const servers: Record<'http' | 'https', Server> = {
  http: createServer(answer),
  https: createTlsServer(
    { cert: readFileSync(join(TLS, 'a.crt')), key: readFileSync(join(TLS, 'a.key')) },
    answer,
  ),
};
const trusted = getCACertificates('default');

beforeAll(async () => {
  setDefaultCACertificates([...trusted, readFileSync(join(TLS, 'a.crt'), 'utf8')]);
  for (const server of Object.values(servers)) await once(server.listen(0, '127.0.0.1'), 'listening');
});

afterAll(async () => {
  setDefaultCACertificates(trusted);
  for (const server of Object.values(servers)) await server[Symbol.asyncDispose]();
});

/** The digest of what comes, and in how many places in memory that was. @param pause after each piece */
async function read(upstream: RegistryUpstream, pause: () => Promise<unknown>) {
  const hasher = new DigestHasher(DIGEST);
  const places = new Set<ArrayBufferLike>();
  const blob = await upstream.fetchBlob(REPOSITORY, DIGEST, 0, never());
  for await (const piece of blob!.body) {
    await pause();
    hasher.update(piece);
    places.add(piece.buffer);
  }
  return { digest: hasher.digest(), places: places.size };
}

describe.each(['http', 'https'] as const)('A large body over %s', (scheme) => {
  it.each(Object.keys(WAYS))('comes as it is, and in little memory, where it is sent %s', async (way) => {
    const { port } = servers[scheme].address() as AddressInfo;
    const url = `${scheme}://127.0.0.1:${port}`;
    const upstream = connect({ url }, { path: `/${encodeURIComponent(way)}` });
    const dawdle = async () => {
      for (let turn = 0; turn < 20; turn++) await setImmediate();
    };
    const results = [];
    // One after the other, over the same connection.
    for (const pause of [() => Promise.resolve(), dawdle, dawdle]) results.push(await read(upstream, pause));
    await upstream.close();
    expect(results.map(({ digest }) => digest)).toEqual([DIGEST, DIGEST, DIGEST]);
    for (const { places } of results) expect(places).toBeLessThanOrEqual(4);
  });
});
