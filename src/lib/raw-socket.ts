/**
 * The file descriptor of the TCP connection that an HTTP/1 response goes out on. The one place that uses what is private
 * to Node.js: where that is not as expected, there is no descriptor, and nothing else breaks.
 */
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

export interface RawSocket {
  readonly socket: Socket;
  readonly descriptor: number;
}

/**
 * There is one while bytes sent to the descriptor come right behind all that was written, and as they are: the headers
 * are in the kernel, nothing waits to get there, and there is neither TLS nor a chunked body.
 */
export function rawSocketOf(sink: Writable): RawSocket | undefined {
  if (!(sink instanceof ServerResponse) || !sink.headersSent || sink.chunkedEncoding) return undefined;
  const { socket, req: request } = sink as ServerResponse;
  // What is written of a body goes nowhere then.
  if (request.method === 'HEAD') return undefined;
  if (!socket?.writable || socket.writableLength > 0 || sink.writableLength > 0) return undefined;
  const descriptor = descriptorOf(socket);
  return descriptor === undefined ? undefined : { socket, descriptor };
}

/** TLS has another kind of handle, through which alone its bytes may go. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: unknown } | null };
  if (handle?.constructor.name !== 'TCP') return undefined;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
