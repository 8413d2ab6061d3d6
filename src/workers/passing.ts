/** A request on its way from a worker to the keeper, and the keeper's answer on its way back: whose headers are whose. */
import { request as httpRequest, type Agent, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { RegistryError } from '../oci/errors.ts';
import { HEADERS, PREFIX, type KeeperAddress } from './messages.ts';

/** Of one connection (RFC 9110, section 7.6.1), of a body that is not passed on, or between the client and us. */
const OWN_REQUEST_HEADERS: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['content-length', 'expect', 'host', 'authorization', 'proxy-authorization', 'cookie'],
]);
const OWN_ANSWER_HEADERS: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'transfer-encoding', 'date'],
]);

export interface Ask {
  readonly agent: Agent;
  readonly keeper: KeeperAddress;
  /** What is said of the request besides what the client said. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Of the client's headers these are left out. */
  readonly without?: ReadonlySet<string>;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * Resolves with the head of the keeper's answer.
 * @throws RegistryError UNAVAILABLE where there is none, for the keeper is gone or going
 */
export async function askKeeper(client: IncomingMessage, ask: Ask): Promise<IncomingMessage> {
  for (let triesLeft = BUSY_TRIES; ; triesLeft -= 1) {
    try {
      return await askOnce(client, ask);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EAGAIN' && triesLeft > 0) {
        await pause(BUSY_MS, undefined, { signal: ask.signal });
        continue;
      }
      throw new RegistryError('UNAVAILABLE', 'the mirror is restarting; try again', {
        ...{ cause, retryAfterSeconds: 1 },
      });
    }
  }
}

/** So many connections wait for the keeper that it was not asked: for up to ten seconds it is tried again. */
const BUSY_MS = 20;
const BUSY_TRIES = 500;

function askOnce(client: IncomingMessage, ask: Ask): Promise<IncomingMessage> {
  const { agent, keeper, signal } = ask;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const asking = httpRequest({
    ...{ agent, socketPath: keeper.socketPath, signal },
    method: client.method,
    path: client.url,
    headers: headersFor(client, ask),
  });
  asking.once('response', resolve);
  asking.on('error', reject);
  asking.end();
  return promise;
}

/** Puts the status and the headers of the keeper's answer on ours; what was said to us alone stays here. */
export function copyHead(answer: IncomingMessage, response: ServerResponse): void {
  response.statusCode = answer.statusCode ?? 500;
  if (answer.statusMessage) response.statusMessage = answer.statusMessage;
  const { rawHeaders } = answer;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const lowerCase = name.toLowerCase();
    if (OWN_ANSWER_HEADERS.has(lowerCase) || lowerCase.startsWith(PREFIX)) continue;
    response.appendHeader(name, value);
  }
}

function headersFor({ rawHeaders }: IncomingMessage, { keeper, headers, without }: Ask): string[] {
  // Names no server: it is not for the keeper to know what a client calls us.
  const list = ['Host', 'keeper', HEADERS.secret, keeper.secret];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const lowerCase = name.toLowerCase();
    const isOwn = OWN_REQUEST_HEADERS.has(lowerCase) || lowerCase.startsWith(PREFIX);
    if (!isOwn && !without?.has(lowerCase)) list.push(name, value);
  }
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) list.push(name, value);
  return list;
}

/** Those by which the rest of a body is asked for anew. */
export const PART_HEADERS: ReadonlySet<string> = new Set(['range', 'if-range', 'if-none-match']);

export function headerOf(answer: IncomingMessage, name: keyof typeof HEADERS): string | undefined {
  return answer.headers[HEADERS[name]] as string | undefined;
}
