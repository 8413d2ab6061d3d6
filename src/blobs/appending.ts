/** How a body gets into a file, piece by piece, and nothing lost of what came. */
import type { ByteSource } from '../lib/byte-source.ts';
import type { SharedHandle } from './shared-handle.ts';

export interface DrainOptions {
  readonly signal: AbortSignal;
  /** Bytes at the beginning of the source that are here already. */
  readonly skip?: number;
  /** Hears of every byte that came, skipped ones too. */
  readonly onBytes?: (count: number) => void;
}

/** What had come before the source broke is stored: it need not be fetched again. */
export async function drain(
  source: ByteSource,
  store: (piece: Uint8Array) => Promise<void>,
  { signal, skip = 0, onBytes }: DrainOptions,
): Promise<void> {
  if (skip < 0) {
    source.destroy();
    throw new RangeError(`the source begins ${-skip} bytes after the end of the file`);
  }
  const stop = () => source.destroy(signal.reason as Error);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  let toSkip = skip;
  try {
    for await (const piece of source) {
      onBytes?.(piece.length);
      const wanted = piece.subarray(Math.min(toSkip, piece.length));
      toSkip -= piece.length - wanted.length;
      if (wanted.length > 0) await store(wanted);
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export async function writeAll(file: SharedHandle, bytes: Uint8Array, start: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written), start + written);
  }
}
