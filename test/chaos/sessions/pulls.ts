/** Whole images, as dockerd (with its own store) and containerd pull them. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Digest } from '../../../src/oci/digest.ts';
import { linksOf } from '../../../src/oci/manifest.ts';
import type { Random } from '../../support/random.ts';
import { pickManifest, pickRepository, type Client } from '../support/client.ts';
import type { Answer } from '../support/wire.ts';

const CONCURRENT_BLOBS = 3;
/** dockerd's, which waits for 5 s and more between them. */
const BLOB_ATTEMPTS = 5;

interface Manner {
  readonly hasNamespace: boolean;
  /** Asks for the first part of a blob as for any other: `bytes=0-`. */
  readonly alwaysByRange: boolean;
  readonly asksReferrers: boolean;
}

export const DOCKERD: Manner = { hasNamespace: false, alwaysByRange: false, asksReferrers: false };
export const CONTAINERD: Manner = { hasNamespace: true, alwaysByRange: true, asksReferrers: true };

export async function pullByTag(client: Client, random: Random): Promise<void> {
  const { catalogue, tally } = client.world;
  const repository = pickRepository(client.world, random);
  const manner = random.pick([DOCKERD, CONTAINERD]);
  const isWhole = await pullTag(client, repository, random.pick(catalogue.tags), manner);
  tally.count('pulls by tag', isWhole ? 'whole' : 'not whole');
}

export async function pullByDigest(client: Client, random: Random): Promise<void> {
  const repository = pickRepository(client.world, random);
  const digest = pickManifest(client.world, repository, random);
  const isWhole = await pullManifest(client, repository, digest, random.pick([DOCKERD, CONTAINERD]));
  client.world.tally.count('pulls by digest', isWhole ? 'whole' : 'not whole');
}

/** Whether all of it came. */
export async function pullTag(
  client: Client,
  repository: string,
  tag: string,
  manner: Manner,
): Promise<boolean> {
  const { hasNamespace } = manner;
  const head = await client.ask({ kind: 'tag', method: 'HEAD', repository, tag, hasNamespace });
  const digest = head.headers['docker-content-digest'];
  if (head.status !== 200 || typeof digest !== 'string') return false;
  return pullManifest(client, repository, digest as Digest, manner);
}

async function pullManifest(
  client: Client,
  repository: string,
  digest: Digest,
  manner: Manner,
): Promise<boolean> {
  const { hasNamespace } = manner;
  const { status, isComplete } = await client.ask({
    kind: 'manifest',
    method: 'GET',
    repository,
    digest,
    hasNamespace,
  });
  const content = client.world.catalogue.find(digest);
  if (status !== 200 || !isComplete || !content) return false;
  const { mediaType, bytes } = content;
  const links = linksOf({ descriptor: { mediaType, digest, size: bytes.length }, bytes });
  if (manner.asksReferrers)
    await client.ask({ kind: 'referrers', method: 'GET', repository, digest, hasNamespace });
  for (const child of links.manifests) {
    if (!(await pullManifest(client, repository, child, manner))) return false;
  }
  const left = [...links.blobs];
  const work = async (): Promise<boolean> => {
    for (let blob = left.shift(); blob; blob = left.shift()) {
      if (!(await pullBlob(client, repository, blob, manner))) return false;
    }
    return true;
  };
  // Where one ends because the run is over, the others still have to come to an end.
  const done = await Promise.allSettled(Array.from({ length: CONCURRENT_BLOBS }, work));
  return done.every((outcome) => outcome.status === 'fulfilled' && outcome.value);
}

/** Goes on where the last attempt broke off. */
export async function pullBlob(
  client: Client,
  repository: string,
  digest: Digest,
  { hasNamespace, alwaysByRange }: Manner,
): Promise<boolean> {
  const size = client.world.catalogue.find(digest)?.bytes.length ?? 0;
  let have = 0;
  for (let attempt = 1; attempt <= BLOB_ATTEMPTS; attempt += 1) {
    const isPart = alwaysByRange || have > 0;
    const range = isPart ? { range: `bytes=${have}-` } : {};
    const answer = await client.ask({
      kind: 'blob',
      method: 'GET',
      repository,
      digest,
      hasNamespace,
      ...range,
    });
    if (answer.isComplete && (answer.status === 200 || answer.status === 206)) return true;
    if (answer.status === 404 || answer.status === 403 || answer.status === 429) return false;
    have = afterBreak(have, answer, size);
    await pause(100 * attempt);
  }
  return false;
}

/** How many bytes are of use for the next attempt; there is always one left to ask for. */
function afterBreak(have: number, { status, received, firstWrong }: Answer, size: number): number {
  // A client whose digest turns out wrong throws all away.
  if (firstWrong !== undefined || status === 416) return 0;
  const reached = status === 206 ? have + received : status === 200 ? received : have;
  return Math.max(0, Math.min(reached, size - 1));
}
