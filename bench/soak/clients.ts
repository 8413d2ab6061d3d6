/** The clients of a soak: pulls, questions about what there is and is not, some who leave and some who take their time. */
import { setTimeout } from 'node:timers/promises';
import { Client, errors, type Dispatcher } from 'undici';
import { Random } from '../../test/support/random.ts';
import { MANIFEST_TYPE } from '../images.ts';
import { digestOf, type Catalogue, type Release, type Repository } from './catalogue.ts';

/** Longer than the mirror waits for its upstream. */
const PATIENCE_MS = 30_000;
const SLOW_PAUSE_MS = 20;
/** Of the same manifest, by a client in a hurry. */
const BURST = 100;
const MAX_REQUESTS_PER_CLIENT = 500;

export interface Tally {
  requests: number;
  readonly outcomes: Map<string, number>;
  /** What must never be: bytes that are not those that were asked for. */
  readonly wrong: string[];
}

interface Session {
  readonly client: Client;
  readonly random: Random;
  readonly catalogue: Catalogue;
  readonly tally: Tally;
}

type Act = (session: Session, repository: Repository, release: Release) => Promise<unknown>;

/** Each as often as it stands here. */
const ACTS: readonly Act[] = [
  ...[pullImage, pullImage, pullImage],
  ...[hurry, hurry, hurry, hurry],
  ...[askForLatest, askForHeads, askForLists, askForNothing, leaveEarly, takeTime, takePart],
];

/** Goes on until `isOver`; now and then as somebody else, on a new connection. */
export async function beClients(
  url: string,
  seed: string,
  catalogue: Catalogue,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  for (let life = 0; !isOver(); life += 1) {
    const random = new Random(`${seed}/${life}`);
    const client = new Client(url, { headersTimeout: PATIENCE_MS, bodyTimeout: PATIENCE_MS });
    const until = tally.requests + MAX_REQUESTS_PER_CLIENT;
    while (!isOver() && tally.requests < until) {
      const repository = catalogue.pick(random);
      const release = random.pick(repository.releases);
      await random.pick(ACTS)({ client, random, catalogue, tally }, repository, release);
    }
    await client.destroy();
  }
}

async function pullImage(session: Session, repository: Repository, release: Release): Promise<void> {
  const path = `/v2/${repository.name}`;
  const manifest = await getAll(session, `${path}/manifests/${release.tag}`, release.digest);
  if (manifest === undefined) return;
  for (const { digest } of release.blobs) await getAll(session, `${path}/blobs/${digest}`, digest);
}

async function hurry(session: Session, { name }: Repository, { digest }: Release): Promise<void> {
  for (let count = 0; count < BURST; count += 1) {
    if ((await getAll(session, `/v2/${name}/manifests/${digest}`, digest)) === undefined) return;
  }
}

/** What it points to now or has pointed to lately, for upstream may be away. */
async function askForLatest(session: Session, { name, latest }: Repository): Promise<void> {
  const bytes = await getAll(session, `/v2/${name}/manifests/latest`);
  if (bytes === undefined || latest.includes(digestOf(bytes))) return;
  session.tally.wrong.push(`${name}:latest is ${digestOf(bytes)}, which it never was`);
}

async function askForHeads(
  session: Session,
  { name }: Repository,
  { digest, blobs }: Release,
): Promise<void> {
  await send(session, { method: 'HEAD', path: `/v2/${name}/manifests/${digest}` }, discard);
  for (const blob of blobs)
    await send(session, { method: 'HEAD', path: `/v2/${name}/blobs/${blob.digest}` }, discard);
}

async function askForLists(session: Session, { name }: Repository): Promise<void> {
  await getAll(session, `/v2/${name}/tags/list`);
}

/** Each time a name that nobody has asked for before. */
async function askForNothing(session: Session, { name }: Repository): Promise<void> {
  const unheardOf = `${session.random.below(2 ** 32)}-${session.tally.requests}`;
  await getAll(session, `/v2/soak/none-${unheardOf}/manifests/latest`);
  await getAll(session, `/v2/${name}/manifests/none-${unheardOf}`);
  const digest = digestOf(Buffer.from(unheardOf));
  await getAll(session, `/v2/${name}/blobs/${digest}`, digest);
}

async function leaveEarly(session: Session, repository: Repository, release: Release): Promise<void> {
  await send(session, largestOf(repository, release), async (body) => {
    for await (const _chunk of body) break;
  });
}

async function takeTime(session: Session, repository: Repository, release: Release): Promise<void> {
  await send(session, largestOf(repository, release), async (body) => {
    for await (const _chunk of body) await setTimeout(SLOW_PAUSE_MS);
  });
}

async function takePart(session: Session, repository: Repository, release: Release): Promise<void> {
  const range = `bytes=${session.random.below(1024)}-`;
  await send(session, { ...largestOf(repository, release), headers: { range } }, discard);
}

function largestOf({ name }: Repository, { blobs }: Release): Dispatcher.RequestOptions {
  const [largest] = blobs.toSorted((a, b) => b.size - a.size);
  return { method: 'GET', path: `/v2/${name}/blobs/${largest?.digest ?? ''}` };
}

/** @returns the bytes, which are what `digest` says; undefined of any other answer than 200 and where it broke off */
async function getAll(session: Session, path: string, digest?: string): Promise<Buffer | undefined> {
  const options: Dispatcher.RequestOptions = { method: 'GET', path, headers: { accept: MANIFEST_TYPE } };
  const bytes = await send(session, options, async (body) => Buffer.from(await body.arrayBuffer()));
  if (bytes === undefined || digest === undefined || digestOf(bytes) === digest) return bytes;
  session.tally.wrong.push(`${path} has the digest ${digestOf(bytes)}`);
  return undefined;
}

type Body = Dispatcher.ResponseData['body'];

const discard = (body: Body): Promise<void> => body.dump();

async function send<T>(
  { client, tally }: Session,
  options: Dispatcher.RequestOptions,
  take: (body: Body) => Promise<T>,
): Promise<T | undefined> {
  tally.requests += 1;
  let outcome = 'no answer';
  try {
    const { statusCode, body } = await client.request({ ...options, reset: false });
    outcome = String(statusCode);
    const isGood = statusCode === 200 || statusCode === 206;
    if (isGood) return await take(body);
    await discard(body);
    return undefined;
  } catch (error) {
    if (!isBroken(error)) throw error;
    outcome += ', broken off';
    return undefined;
  } finally {
    tally.outcomes.set(outcome, (tally.outcomes.get(outcome) ?? 0) + 1);
  }
}

/** By the mirror, whose upstream has failed it in the middle, or by us. */
function isBroken(error: unknown): boolean {
  const { code, name } = error as NodeJS.ErrnoException;
  return (
    error instanceof errors.UndiciError || name === 'AbortError' || code === 'ECONNRESET' || code === 'EPIPE'
  );
}
