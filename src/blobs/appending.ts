/** How a body gets into a file: chunks gathered while the last write ran, and nothing lost of what came. */
import { Writable, type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { SharedHandle } from './shared-handle.ts';

/** What may wait in memory between the network and the disk, for each file that is being written. */
const WRITE_BUFFER_BYTES = 1024 * 1024;

export interface DrainOptions {
  readonly signal: AbortSignal;
  /** Bytes at the beginning of the source that are here already. */
  readonly skip?: number;
  /** Hears of every byte that came, skipped ones too. */
  readonly onBytes?: (count: number) => void;
}

/** Like a pipeline, but what had come before the source broke is stored: it need not be fetched again. */
export async function drain(
  source: Readable,
  store: (chunks: readonly Uint8Array[]) => Promise<void>,
  { signal, skip = 0, onBytes }: DrainOptions,
): Promise<void> {
  if (skip < 0) {
    source.destroy();
    throw new RangeError(`the source begins ${-skip} bytes after the end of the file`);
  }
  let toSkip = skip;
  const take = async (chunks: readonly Uint8Array[]) => {
    const wanted = afterBytes(chunks, toSkip);
    const count = bytesIn(chunks);
    toSkip -= count - bytesIn(wanted);
    onBytes?.(count);
    await store(wanted);
  };
  const sink = new Writable({
    highWaterMark: WRITE_BUFFER_BYTES,
    write: (chunk: Uint8Array, _encoding, done) => void take([chunk]).then(() => done(), done),
    // What came while the last write ran goes out in one.
    writev: (entries, done) =>
      void take(entries.map((entry) => entry.chunk as Uint8Array)).then(() => done(), done),
  });
  const stop = () => source.destroy(signal.reason as Error);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const broken = finished(source, { writable: false }).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  void broken.then(() => sink.end());
  source.pipe(sink, { end: false });
  try {
    await finished(sink);
    const cause = await broken;
    if (cause !== undefined) throw cause as Error;
  } finally {
    signal.removeEventListener('abort', stop);
    source.destroy();
  }
}

export async function writeAll(
  file: SharedHandle,
  chunks: readonly Uint8Array[],
  start: number,
): Promise<void> {
  let position = start;
  let rest = chunks;
  while (rest.length > 0) {
    const count = await file.write(rest, position);
    position += count;
    rest = afterBytes(rest, count);
  }
}

/** What is left of the chunks without their first `count` bytes. */
export function afterBytes(chunks: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count;
  const index = chunks.findIndex((chunk) => {
    if (chunk.length > left) return true;
    left -= chunk.length;
    return false;
  });
  if (index === -1) return [];
  const [first, ...others] = chunks.slice(index);
  return first ? [first.subarray(left), ...others] : [];
}

export function bytesIn(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}
