/** A reader of a blob that is on its way in: it follows the spool file, and goes on without it where our disk fails. */
import { BlobReadError, type BlobContent } from '../blobs/blob-store.ts';
import { SpoolFailedError, SpoolWriteError, type Prefix, type SpoolFile } from '../blobs/spool.ts';
import type { Passing } from './passing.ts';

/** If our disk fails under it, it gets the rest from upstream itself. @param client who would take a turn for that */
export function following(file: SpoolFile, passing: Passing, client: string): BlobContent {
  const reader = file.open();
  return {
    size: reader.size,
    close: () => reader.close(),
    sendTo: async (sink, range) => {
      try {
        await reader.sendTo(sink, range);
      } catch (error) {
        const failure = diskFailureIn(error, file);
        if (!failure) throw error;
        const rest = passing.goOn(reader.size, failure.prefix, client);
        const end = range?.end ?? reader.size ?? Infinity;
        try {
          await rest.sendTo(sink, { start: failure.position, end });
        } finally {
          await rest.close();
        }
      }
    },
  };
}

/** Where a reader was when our own disk failed it, and what the file had by then. */
function diskFailureIn(error: unknown, file: SpoolFile): { position: number; prefix: Prefix } | undefined {
  if (error instanceof BlobReadError) return { position: error.position, prefix: file.prefix() };
  if (!(error instanceof SpoolFailedError && error.cause instanceof SpoolWriteError)) return undefined;
  return { position: error.position, prefix: error.cause.prefix };
}
