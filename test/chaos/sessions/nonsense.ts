/** What no client of good faith sends, and what is allowed but rare: pipelined requests, bodies on a GET, half a request. */
import { setTimeout as pause } from 'node:timers/promises';
import { parseResponses, RawConnection, type RawResponse } from '../../support/raw-http.ts';
import type { Random } from '../../support/random.ts';
import { pickManifest, pickRepository, type Client } from '../support/client.ts';
import { problemOfAny } from '../support/judge.ts';

const DEADLINE_MS = 60_000;

/** What is refused with a status of the client's fault, whatever happens upstream. */
function malformed(repository: string, random: Random): string {
  const line = (method: string, path: string, headers = '') =>
    `${method} ${path} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n${headers}\r\n`;
  const digest = `sha256:${'ab'.repeat(32)}`;
  return random.pick([
    'NONSENSE\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    line('GET', `/v2/${repository}/manifests/latest`, `X-Flood: ${'x'.repeat(20_000)}\r\n`),
    line('GET', `/v2/${'a/'.repeat(10_000)}manifests/latest`),
    line('GET', `/v2/${repository}/blobs/sha256:zz`),
    line('GET', `/v2/${repository}/blobs/../../../../etc/passwd`),
    line('GET', `/v2/${repository}/blobs/${digest}%00`),
    line('GET', `/v2/..%2f..%2fetc/manifests/latest`),
    line('GET', `/v2//manifests/latest`),
    line('GET', `/v2/UPPER/manifests/latest`),
    line('GET', `/v2/${repository}/manifests/-bad`),
    line('GET', `/v2/${repository}/tags/list?n=-1`),
    line('GET', `/v2/${repository}/manifests/latest?ns=169.254.169.254`),
    line('GET', '/metrics'),
    line('PUT', `/v2/${repository}/manifests/latest`, 'Content-Length: 0\r\n'),
    line('POST', `/v2/${repository}/blobs/uploads/`, 'Content-Length: 0\r\n'),
    line('DELETE', `/v2/${repository}/manifests/latest`),
    line('GET', `/v2/${repository}/blobs/sha256:zz`, 'Content-Length: 5\r\n') + 'hello',
    line('GET', '/v2/', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n') + '0\r\n\r\n',
  ]);
}

export async function sendNonsense(client: Client, random: Random): Promise<void> {
  const text = malformed(pickRepository(client.world, random), random);
  const what = JSON.stringify(text.slice(0, 100));
  const responses = await converse(client, text, `sends ${what}`);
  const first = responses?.[0];
  if (first && (first.status < 400 || first.status > 499)) {
    client.world.findings.add('nonsense is not refused', { sent: what, answer: first });
  }
}

/** All at once, without waiting for an answer, and then their answers in that order. */
export async function pipeline(client: Client, random: Random): Promise<void> {
  const { world } = client;
  const asked = Array.from({ length: random.between(2, 6) }, () => {
    const repository = pickRepository(world, random);
    return { repository, digest: pickManifest(world, repository, random) };
  });
  const requests = asked.map(
    ({ repository, digest }, index) =>
      `GET /v2/${repository}/manifests/${digest} HTTP/1.1\r\nHost: mirror\r\n` +
      `${index === asked.length - 1 ? 'Connection: close\r\n' : ''}\r\n`,
  );
  const responses = await converse(client, requests.join(''), `pipelines ${asked.length} requests`);
  for (const [index, { status, headers }] of (responses ?? []).entries()) {
    if (status === 200 && headers['docker-content-digest'] !== asked[index]?.digest) {
      world.findings.add('pipelined answers are not in order', { asked, index, headers });
    }
  }
}

/** Begins a request and stops in the middle of it. */
export async function hesitate(client: Client, random: Random): Promise<void> {
  const url = await client.registryUrl();
  const text = `GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: mirror\r\nX-Slow: yes\r\n\r\n`;
  client.world.findings.acted(`${client.name} sends half a request`);
  try {
    using connection = await RawConnection.open(url);
    connection.send(text.slice(0, random.below(text.length)));
    await pause(random.below(1000));
  } catch {
    // The mirror has gone just then.
  }
}

/** All answers, as far as they came; undefined where the mirror was away meanwhile, or failed as it may. */
async function converse(
  client: Client,
  text: string,
  what: string,
): Promise<readonly RawResponse[] | undefined> {
  const { mirror, findings, tally, skies } = client.world;
  const url = await client.registryUrl();
  const startedAt = performance.now();
  findings.acted(`${client.name} ${what}`);
  const received = await receive(url, text);
  const now = performance.now();
  tally.count('raw conversations');
  if (received === 'hung') {
    findings.add('an answer hangs', { what });
    return undefined;
  }
  if (mirror.absence.touches(startedAt, now)) return undefined;
  if (received === undefined || received.length === 0) {
    findings.add('there is no answer, and the mirror was there', { what });
    return undefined;
  }
  const mayFail = skies.trouble.touches(startedAt, now);
  const responses = responsesIn(received);
  if (!responses)
    findings.add('an answer is no HTTP', { what, received: received.toString('latin1', 0, 2000) });
  for (const { status, headers, body } of responses ?? []) {
    const common = {
      startedAt,
      endedAt: now,
      received: body.length,
      firstWrong: undefined,
      failure: undefined,
    };
    const flags = { isComplete: true, hasLeft: false, isHung: false };
    const answer = { ...common, ...flags, status, headers, body: Buffer.from(body, 'latin1') };
    const problem = problemOfAny(answer, { mayFail });
    if (problem !== undefined) findings.add(problem, { what, status, headers, body: body.slice(0, 500) });
  }
  return responses;
}

function responsesIn(received: Buffer): readonly RawResponse[] | undefined {
  try {
    return parseResponses(received);
  } catch {
    return undefined;
  }
}

async function receive(url: string, text: string): Promise<Buffer | 'hung' | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    using connection = await RawConnection.open(url);
    connection.send(Buffer.from(text, 'latin1'));
    const { promise: late, resolve } = Promise.withResolvers<'hung'>();
    timer = setTimeout(() => resolve('hung'), DEADLINE_MS);
    return await Promise.race([connection.toEnd(), late]);
  } catch {
    // Refused: it is not there.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
