/** What never becomes a request of the application: why it is refused, and its answer where one can still be given. */
import type { Socket } from 'node:net';
import { RegistryError } from '../oci/errors.ts';

/** Those that are told: by which status, and in which words. */
const ANSWERS = {
  malformed: { status: '400 Bad Request', message: 'this is no HTTP request for a registry' },
  'headers-too-large': {
    status: '431 Request Header Fields Too Large',
    message: 'the request line and the headers are too long',
  },
  'too-slow': { status: '408 Request Timeout', message: 'the request took too long to come' },
} as const;

export type AnsweredReason = keyof typeof ANSWERS;

/** The others only see that their connection ends. */
export type RefusalReason =
  | AnsweredReason
  /** More connections than may be open at once. */
  | 'too-many-connections'
  /** More requests sent ahead of their answers than are kept. */
  | 'too-many-requests'
  /** It takes nothing of its answer. */
  | 'stalled'
  /** No TLS session came about. */
  | 'tls'
  /** The system could not give us the connection. */
  | 'not-accepted';

export interface Refusal {
  readonly reason: RefusalReason;
  /** Its address, where it is known. */
  readonly client: string | undefined;
  /** What Node.js or OpenSSL call it (`HPE_INVALID_METHOD`), where they do. Never anything that the client sent. */
  readonly code?: string | undefined;
}

/** `undefined` where the client only left. */
export function reasonOf({ code = '' }: NodeJS.ErrnoException): AnsweredReason | undefined {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers-too-large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'too-slow';
  return code.startsWith('HPE_') ? 'malformed' : undefined;
}

/** Ends the connection with an answer in the OCI's form. To be called when no other answer is under way. */
export function answerRefusal(socket: Socket, reason: AnsweredReason): void {
  const { status, message } = ANSWERS[reason];
  const body = JSON.stringify(new RegistryError('UNSUPPORTED', message).toWire());
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`, () => socket.destroy());
}
