/** How a body gets into a file: chunks gathered while the last write ran, and nothing lost of what came. */
import type { FileHandle } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

/** Like a pipeline, but what had come before the source broke is written: it need not be fetched again. */
export async function drain(source: Readable, sink: Writable, signal: AbortSignal): Promise<void> {
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
  handle: FileHandle,
  chunks: readonly Uint8Array[],
  start: number,
): Promise<void> {
  let position = start;
  let rest = chunks;
  while (rest.length > 0) {
    // A write may be short, for one when the disk is nearly full.
    const { bytesWritten } = await handle.writev(rest, position);
    position += bytesWritten;
    rest = afterBytes(rest, bytesWritten);
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
