/** Brings a blob's bytes from upstream into its spool file: on from where it breaks off, until all of them are there. */
import { SpoolWriteError, type SpoolFile } from '../blobs/spool.ts';
import { UpstreamError, type UpstreamBlob } from '../upstream/upstream.ts';
import type { BlobSource } from './blob-source.ts';
import type { Reservation } from './cache-space.ts';
import { ANSWER_MS, within } from './deadline.ts';
import { FOR_THE_REST } from './persist.ts';

/** What is reserved at a time for a blob of unknown size. */
export const RESERVE_STEP_BYTES = 4 * 1024 * 1024;
/** How often room is made for one blob on a disk that others fill. */
const MAX_ROOM_MADE = 3;

export interface Filling {
  readonly file: SpoolFile;
  readonly source: BlobSource;
  /** Grows with a blob of unknown size. */
  readonly reservation: Reservation;
  readonly makeRoom: (bytes: number) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** @param first an answer that nobody has read yet */
export async function fillSpool(filling: Filling, first: UpstreamBlob): Promise<void> {
  const { file, source, makeRoom, signal } = filling;
  await file.restore(signal);
  let next: UpstreamBlob | undefined = first;
  const append = async () => {
    const begun = next;
    next = undefined;
    await appendOnce(filling, begun);
  };
  for (let roomMade = 0; ; roomMade += 1) {
    try {
      await source.persist(append, FOR_THE_REST, signal, () => file.bytesWritten);
      return;
    } catch (error) {
      if (!isDiskFull(error) || roomMade === MAX_ROOM_MADE) throw error;
      const missing = file.size === undefined ? RESERVE_STEP_BYTES : file.size - file.bytesWritten;
      if (!(await makeRoom(missing))) throw error;
    }
  }
}

/** Until the body ends or breaks off. */
async function appendOnce(filling: Filling, begun: UpstreamBlob | undefined): Promise<void> {
  const { file, source, reservation, signal } = filling;
  const before = file.bytesWritten;
  // Less could be restored than was hoped for.
  const isUsable = begun !== undefined && begun.offset <= before;
  if (!isUsable) begun?.body.destroy();
  const ask = (until: AbortSignal) => source.fetch(before, until);
  const blob = isUsable ? begun : await within(ANSWER_MS, signal, ask);
  if (!blob) throw new UpstreamError('unreachable', 'upstream no longer has the blob that it was sending');
  await file.append(blob.body, {
    skip: before - blob.offset,
    signal,
    onBytes: source.countBytes,
    admit: (bytes) => reservation.growTo(Math.ceil(bytes / RESERVE_STEP_BYTES) * RESERVE_STEP_BYTES),
  });
  const { size, bytesWritten } = file;
  if (size !== undefined && bytesWritten < size) {
    throw new UpstreamError('unreachable', `the body ended after ${bytesWritten} of ${size} bytes`);
  }
  // A body without a length ends like one that is cut: only the digest tells them apart, and whether there is more.
  const isLonger = bytesWritten > before || before === 0;
  if (size === undefined && isLonger && file.prefix().digest !== file.digest) {
    throw new UpstreamError('unreachable', `a body without a length ended after ${bytesWritten} bytes`);
  }
}

function isDiskFull(error: unknown): boolean {
  if (!(error instanceof SpoolWriteError)) return false;
  return (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC';
}
