/** What may stand in the query and in the body of a request to the admin API; every refusal names what it is about. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AdminRefusal } from './refusal.ts';

export type Values = Readonly<Record<string, unknown>>;

const MAX_BODY_BYTES = 64 * 1024;
const MAX_TEXT_LENGTH = 1024;

/**
 * An empty one is as good as none.
 * @throws AdminRefusal 400 where one is given twice, or another than those
 */
export function readQuery({ url = '' }: IncomingMessage, names: readonly string[]): Values {
  const start = url.indexOf('?');
  const query = new URLSearchParams(start === -1 ? '' : url.slice(start + 1));
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of query) {
    if (name in values) throw invalid(`the parameter "${shown(name)}" is given twice`);
    values[name] = value === '' ? undefined : value;
  }
  refuseUnknown('parameter', values, names);
  return values;
}

/**
 * The members of the JSON object that is its body; none without a body.
 * @throws AdminRefusal 400, 413, 415
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  names: readonly string[],
): Promise<Values> {
  // Another site's form can't say so, and a script of it only if we let it (CORS), which we never do.
  if (!/^application\/json *(?:;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new AdminRefusal(415, 'say "Content-Type: application/json", and send that');
  }
  const bytes = await readBytes(request, response);
  const values = bytes.length === 0 ? {} : parse(bytes);
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw invalid('the body is no JSON object');
  }
  refuseUnknown('member', values as Values, names);
  return values as Values;
}

async function readBytes(request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
  const chunks: Buffer[] = [];
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  // Whoever waits for leave to send it (curl, above a kilobyte) gets it only now.
  if (request.headers.expect !== undefined) response.writeContinue();
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AdminRefusal) throw cause;
    throw new AdminRefusal(400, 'the body broke off', { cause });
  }
  return Buffer.concat(chunks);
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new AdminRefusal(400, 'the body is no JSON', { cause });
  }
}

function tooLarge(): AdminRefusal {
  // What is left of it is not read, so nothing else can come on that connection.
  const headers = { Connection: 'close' };
  return new AdminRefusal(413, `the body has more than ${MAX_BODY_BYTES} bytes`, { headers });
}

function refuseUnknown(what: string, values: Values, names: readonly string[]): void {
  const unknown = Object.keys(values).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const known = names.length === 0 ? 'none' : names.join(', ');
  throw invalid(`there is no ${what} "${shown(unknown)}" here; known: ${known}`);
}

export function invalid(message: string): AdminRefusal {
  return new AdminRefusal(400, message);
}

export function textOf(values: Values, name: string): string {
  return requireText(values[name], `"${name}"`);
}

export function optionalTextOf(values: Values, name: string): string | undefined {
  return values[name] === undefined ? undefined : textOf(values, name);
}

/** Without it, none. */
export function textsOf(values: Values, name: string, maxCount: number): readonly string[] {
  const list = values[name] ?? [];
  if (!Array.isArray(list) || list.length > maxCount) {
    throw invalid(`"${name}" has to be a list of at most ${maxCount} texts`);
  }
  return list.map((item: unknown, index) => requireText(item, `"${name}[${index}]"`));
}

export function flagOf(values: Values, name: string): boolean {
  const value = values[name];
  if (typeof value !== 'boolean') throw invalid(`"${name}" has to be true or false`);
  return value;
}

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function optionalCountOf(values: Values, name: string, { min, max }: Bounds): number | undefined {
  const value = values[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(`"${name}" has to be a whole number from ${min} to ${max}`);
  }
  return value;
}

/** The same of a query, where it stands as digits. */
export function countIn(query: Values, name: string, bounds: Bounds, otherwise: number): number {
  const value = query[name];
  const digits = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return optionalCountOf({ [name]: digits }, name, bounds) ?? otherwise;
}

function requireText(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.length > MAX_TEXT_LENGTH) {
    throw invalid(`${what} has to be a text of 1 to ${MAX_TEXT_LENGTH} characters`);
  }
  return value;
}

function shown(name: string): string {
  return name.length > 64 ? `${name.slice(0, 64)}...` : name;
}
