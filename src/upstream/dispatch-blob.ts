/**
 * Asks for a blob by the lowest of undici's interfaces, which hands over what it reads before it reads on: so that all
 * is read into the same few buffers (read-buffers.ts), and copied once into the pieces that are written to disk.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { ByteSource } from '../lib/byte-source.ts';
import type { FreeList } from '../lib/free-list.ts';
import { GatheredBody } from './gathered-body.ts';
import type { ReadBuffers } from './read-buffers.ts';

export interface RawAnswer {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: ByteSource;
}

export interface BlobDispatch {
  readonly reads: ReadBuffers;
  readonly pieces: FreeList;
  /** Ends it at any time, with the signal's reason. */
  readonly signal: AbortSignal | undefined;
  /** It no longer waits for others to be done with their connections. */
  readonly onConnection: () => void;
}

/** Fails as undici does, or with the signal's reason. */
export function dispatchBlob(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  { reads, pieces, signal, onConnection }: BlobDispatch,
): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  let body: GatheredBody | undefined;
  let stopListening: (() => void) | undefined;
  dispatcher.dispatch(options, {
    onRequestStart: (controller) => {
      onConnection();
      const abort = () => controller.abort(signal?.reason as Error);
      if (signal?.aborted === true) {
        abort();
        return;
      }
      signal?.addEventListener('abort', abort);
      stopListening = () => signal?.removeEventListener('abort', abort);
    },
    onResponseStart: (controller, statusCode, headers) => {
      // What comes before the answer (103 Early Hints).
      if (statusCode < 200) return;
      body = new GatheredBody(controller, pieces, Number(headers['content-length'] ?? Infinity));
      resolve({ statusCode, headers, body });
    },
    onResponseData: (_controller, bytes) => {
      body?.add(bytes);
      reads.release(bytes);
    },
    onResponseEnd: () => {
      stopListening?.();
      body?.end();
    },
    onResponseError: (_controller, error) => {
      stopListening?.();
      reject(error);
      body?.end(error);
    },
  });
  return promise;
}
