/** Clients that want a part, go on where they left, leave where they are, or read at their own pace. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../support/random.ts';
import { pickBlob, pickRepository, type Client } from '../support/client.ts';

const MIB = 1024 * 1024;

export async function parts(client: Client, random: Random): Promise<void> {
  const repository = pickRepository(client.world, random);
  const digest = pickBlob(client.world, repository, random);
  const size = client.world.catalogue.find(digest)?.bytes.length ?? 0;
  for (let count = random.between(1, 4); count > 0; count -= 1) {
    const first = random.below(size + 1);
    const range = random.pick([
      `bytes=${first}-`,
      `bytes=${first}-${random.between(first, size + 10)}`,
      `bytes=-${random.below(size + 2)}`,
      `bytes=${size}-`,
      'bytes=0-0',
      'bytes=0-4,8-9',
      'lines=1-2',
    ]);
    await client.ask({ kind: 'blob', method: 'GET', repository, digest, range });
  }
}

/** Leaves, and comes back for the rest, as a dockerd does that was restarted. */
export async function comeAndGo(client: Client, random: Random): Promise<void> {
  const repository = pickRepository(client.world, random);
  const digest = pickBlob(client.world, repository, random);
  const size = client.world.catalogue.find(digest)?.bytes.length ?? 0;
  const leaveAfterBytes = random.pick([-1, 0, random.below(size + 1), size - 1]);
  const left = await client.ask({ kind: 'blob', method: 'GET', repository, digest }, { leaveAfterBytes });
  await pause(random.below(500));
  if (!random.chance(0.5)) return;
  const have = Math.min(left.received, Math.max(0, size - 1));
  await client.ask({ kind: 'blob', method: 'GET', repository, digest, range: `bytes=${have}-` });
}

export async function readSlowly(client: Client, random: Random): Promise<void> {
  const repository = pickRepository(client.world, random);
  const digest = pickBlob(client.world, repository, random);
  // Three seconds of it, whatever the size.
  const bytes = random.pick([MIB / 4, MIB, 8 * MIB]);
  const slowly = { bytes, bytesPerSecond: bytes / 3 };
  await client.ask({ kind: 'blob', method: 'GET', repository, digest }, { slowly });
}
