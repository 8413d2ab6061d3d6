/** Sends a reply of the scripted upstream the way that its course has it: waiting, cut, stalled or simply right. */
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { formatContentRange, parseRange } from '../../src/lib/byte-range.ts';
import type { Course, Fault } from './scripted-upstream-faults.ts';
import type { Reply } from './scripted-upstream-reply.ts';
import type { RecordedRequest } from './scripted-upstream-request.ts';

const SLICE_BYTES = 256 * 1024;

/** What interrupts an answer at a place in it; false ends the answer there. */
interface Stop {
  readonly afterBytes: number | undefined;
  readonly run: () => Promise<boolean>;
}

/** Resolves when the answer is out, or its connection gone. */
export async function deliver(
  request: RecordedRequest,
  response: ServerResponse,
  reply: Reply,
  { fault, gates }: Course,
  onBodyBytes: (count: number) => void,
): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve));
  // A client that leaves while we write is no failure of ours; `closed` tells.
  response.on('error', () => undefined);
  const faulty = withFault(request, reply, fault);
  const stops: Stop[] = gates.map((gate) => ({
    afterBytes: gate.afterBytes,
    run: async () => {
      await Promise.race([gate.pass(), closed]);
      return !response.destroyed;
    },
  }));
  const { cut, stall } = fault;
  if (cut) stops.push({ ...placeOf(cut), run: () => Promise.resolve(cutOff(response, cut.by)) });
  if (stall) stops.push({ ...placeOf(stall), run: () => closed.then(() => false) });

  for (const stop of stops) if (stop.afterBytes === undefined && !(await stop.run())) return;
  request.status = faulty.status;
  response.writeHead(faulty.status, faulty.headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  const isOut = await sendBody(response, faulty.body, stops, closed, onBodyBytes);
  if (!isOut) return;
  response.end();
  // Somebody who waits for the missing bytes of a wrong Content-Length has to learn that none come.
  const claimed = faulty.headers['content-length'];
  if (claimed !== undefined && Number(claimed) !== faulty.body.length) response.socket?.end();
}

async function sendBody(
  response: ServerResponse,
  body: Uint8Array,
  stops: readonly Stop[],
  closed: Promise<void>,
  onBodyBytes: (count: number) => void,
): Promise<boolean> {
  let sent = 0;
  const sendUntil = async (end: number): Promise<void> => {
    while (sent < end && !response.destroyed) {
      const slice = body.subarray(sent, Math.min(end, sent + SLICE_BYTES));
      // Waits until the kernel has it: what comes before a gate or a cut is really on its way.
      await Promise.race([new Promise((resolve) => response.write(slice, resolve)), closed]);
      sent += slice.length;
      onBodyBytes(slice.length);
    }
  };
  const inBody = stops
    .flatMap((stop) => (stop.afterBytes === undefined ? [] : [{ at: stop.afterBytes, run: stop.run }]))
    .sort((a, b) => a.at - b.at);
  for (const { at, run } of inBody) {
    await sendUntil(Math.min(at, body.length));
    if (!(await run())) return false;
  }
  await sendUntil(body.length);
  return !response.destroyed;
}

interface FaultyReply {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

function withFault(request: RecordedRequest, right: Reply, fault: Fault): FaultyReply {
  const reply = fault.reply ?? right;
  const whole = (fault.body ?? ((bytes) => bytes))(reply.body ?? new Uint8Array());
  const isRanged = reply.isRangeable === true && fault.ignoresRange !== true && request.method === 'GET';
  const range = isRanged ? parseRange(request.headers.range, whole.length) : undefined;
  if (range === 'unsatisfiable') return unsatisfiable(request, whole.length);
  const picked = range ? whole.subarray(range.start, range.end) : whole;
  const isGzipped = fault.gzip === true && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const body = isGzipped ? gzipSync(picked) : picked;
  return {
    status: range ? 206 : reply.status,
    headers: defined({
      // A 304 and its like have no body to measure.
      ...(reply.status === 304 ? {} : { 'content-length': String(body.length) }),
      ...reply.headers,
      ...(range ? { 'content-range': formatContentRange(range, whole.length) } : {}),
      ...(isGzipped ? { 'content-encoding': 'gzip' } : {}),
      ...fault.headers,
    }),
    body,
  };
}

function unsatisfiable(request: RecordedRequest, size: number): FaultyReply {
  const body = Buffer.from('invalid range: failed to overlap\n');
  // Distribution 2.8 leaves the Content-Length of the whole blob on its message, and ends the connection behind it.
  const length = request.origin === 'registry' ? size : body.length;
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(length),
    'content-range': `bytes */${size}`,
  };
  return { status: 416, headers, body };
}

function defined(headers: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function placeOf({ afterBytes }: { readonly afterBytes?: number }): { afterBytes: number | undefined } {
  return { afterBytes };
}

function cutOff(response: ServerResponse, by: 'fin' | 'rst'): false {
  if (by === 'rst') response.socket?.resetAndDestroy();
  else response.socket?.end();
  return false;
}
