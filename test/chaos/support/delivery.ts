/** Sends an answer of upstream with what is wrong with it. */
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../../src/oci/digest.ts';
import { flipByte } from '../../support/scripted-upstream-faults.ts';
import { errorReply, htmlPage } from '../../support/scripted-upstream-reply.ts';
import type { Fault, Upcoming } from './fault.ts';
import { contentRangeOf, partOf } from './range.ts';

const SLICE_BYTES = 256 * 1024;
const DRIPS = 20;
/** A RST overtakes what was sent before it: that gets a start, so that some of it arrives. */
const BEFORE_RST_MS = 40;
/** More than the mirror takes of a manifest. */
const OVERSIZED_BYTES = 5 * 1024 * 1024;

interface Message {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Resolves when the answer is out, or its connection gone. */
export async function deliver(
  upcoming: Upcoming,
  response: ServerResponse,
  fault: Fault | undefined,
): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve));
  response.on('error', () => undefined);
  const wait = (ms: number) => Promise.race([pause(ms), closed]);
  if (fault?.kind === 'hang-up') {
    cutOff(response, fault.by);
    return;
  }
  if (fault?.kind === 'delay' || fault?.kind === 'silence') await wait(fault.ms);
  if (response.destroyed) return;

  const message = messageOf(upcoming, fault);
  upcoming.request.status = message.status;
  response.writeHead(message.status, message.headers);
  if (upcoming.request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  const { body } = message;
  const write = async (start: number, end: number, sliceBytes: number, pauseMs: number) => {
    for (let sent = start; sent < end && !response.destroyed; sent += sliceBytes) {
      const slice = body.subarray(sent, Math.min(end, sent + sliceBytes));
      await Promise.race([new Promise((resolve) => response.write(slice, resolve)), closed]);
      if (pauseMs > 0) await wait(pauseMs);
    }
  };
  const middle = fault && 'at' in fault ? placeIn(body, fault.at) : body.length;
  await write(
    0,
    middle,
    fault?.kind === 'drip' ? Math.ceil(body.length / DRIPS) : SLICE_BYTES,
    dripOf(fault),
  );
  if (fault?.kind === 'cut') {
    if (fault.by === 'rst') await wait(BEFORE_RST_MS);
    cutOff(response, fault.by);
    return;
  }
  if (fault?.kind === 'stall') await wait(fault.ms);
  await write(middle, body.length, SLICE_BYTES, 0);
  response.end();
  // Somebody who waits for the missing bytes of a wrong Content-Length has to learn that none come.
  if (fault?.kind === 'false-length') response.socket?.end();
}

function dripOf(fault: Fault | undefined): number {
  return fault?.kind === 'drip' ? fault.ms : 0;
}

/** Behind its first byte and before its last, so that whatever stops there has brought something. */
function placeIn(body: Uint8Array, share: number): number {
  return Math.max(1, Math.min(body.length - 1, Math.round(share * body.length)));
}

function messageOf({ request, reply: right }: Upcoming, fault: Fault | undefined): Message {
  const reply =
    fault?.kind === 'page' ? htmlPage() : fault?.kind === 'status' ? refusal(fault.status) : right;
  const whole = bodyOf(reply.body ?? new Uint8Array(), fault);
  const isRanged = reply.isRangeable === true && fault?.kind !== 'no-range' && request.method === 'GET';
  const part = isRanged ? partOf(whole.length, request.headers.range) : 'all';
  if (part === 'none') {
    const headers = { 'content-range': `bytes */${whole.length}`, 'content-length': '0' };
    return { status: 416, headers, body: new Uint8Array() };
  }
  const range = part === 'all' ? undefined : part;
  const shift = fault?.kind === 'false-range' ? 1 : 0;
  const picked = range ? whole.subarray(range.start, range.end) : whole;
  const body = fault?.kind === 'encoded' ? gzipSync(picked, { level: 0 }) : picked;
  return {
    status: range ? 206 : reply.status,
    headers: defined({
      ...(reply.status === 304 ? {} : { 'content-length': String(lengthOf(body, fault)) }),
      ...reply.headers,
      ...(range
        ? {
            'content-range': contentRangeOf(
              { start: range.start + shift, end: range.end + shift },
              whole.length + shift,
            ),
          }
        : {}),
      ...(fault?.kind === 'no-length' ? { 'content-length': undefined } : {}),
      ...(fault?.kind === 'encoded' ? { 'content-encoding': 'gzip' } : {}),
      ...(fault?.kind === 'false-type' ? { 'content-type': 'application/vnd.example.wrong+json' } : {}),
      ...(fault?.kind === 'false-digest' ? { 'docker-content-digest': digestOf(Buffer.from('no')) } : {}),
    }),
    body,
  };
}

function bodyOf(right: Uint8Array, fault: Fault | undefined): Uint8Array {
  switch (fault?.kind) {
    case 'flip':
      return right.length === 0
        ? Buffer.from('x')
        : flipByte(Math.floor(fault.at * (right.length - 1)))(right);
    case 'truncate':
      return right.subarray(0, Math.floor(fault.at * right.length));
    case 'overlong':
      return Buffer.concat([right, Buffer.alloc(fault.bytes)]);
    case 'oversized':
      return Buffer.concat([right, Buffer.alloc(OVERSIZED_BYTES, ' ')]);
    default:
      return right;
  }
}

function lengthOf(body: Uint8Array, fault: Fault | undefined): number {
  return fault?.kind === 'false-length' ? Math.max(0, body.length + fault.by) : body.length;
}

function refusal(status: number) {
  return errorReply(status, status === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE', 'try again later', {
    ...(status === 429 ? { 'retry-after': '1' } : {}),
  });
}

function defined(headers: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function cutOff(response: ServerResponse, by: 'fin' | 'rst'): void {
  if (by === 'rst') response.socket?.resetAndDestroy();
  else response.socket?.end();
}
