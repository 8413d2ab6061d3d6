/**
 * One run: 1. upstream, its first images, and the mirror. 2. Clients, weather, changes and ends of the mirror, for as
 * long as asked or until something is found. 3. When all is calm: every tag is pulled, then one with upstream unplugged.
 * 4. Nothing may be left: connections, open files. 5. The mirror ends well, and what it leaves on disk is right.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Random } from '../../support/random.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { pickSession } from '../sessions/sessions.ts';
import { CONTAINERD, pullTag } from '../sessions/pulls.ts';
import { Catalogue, contentsOf } from './catalogue.ts';
import { Client, RunOverError } from './client.ts';
import { Findings } from './findings.ts';
import { inspect } from './inspection.ts';
import { Judge } from './judge.ts';
import { contentLane, livesLane, weatherLane } from './lanes.ts';
import { MirrorProcess } from './mirror-process.ts';
import { planOf, type Wish } from './plan.ts';
import { reportOf, type Report } from './report.ts';
import { Tally } from './tally.ts';
import { UnrulyUpstream } from './unruly-upstream.ts';
import { watchVitals } from './vitals.ts';
import { Skies } from './weather.ts';
import type { World } from './world.ts';

/** undici keeps an idle connection for 4 s. */
const MAX_SETTLING_MS = 30_000;
/** Half of what eviction leaves free. */
const MAX_UNPLUGGED_SHARE = 0.05;

export async function run(wish: Wish): Promise<Report> {
  const plan = planOf(wish);
  const findings = new Findings();
  const tally = new Tally();
  const skies = new Skies(plan.seed);
  await using upstream = await UnrulyUpstream.start(plan, skies, tally);
  await using directory = await tempDir();
  await using mirror = new MirrorProcess(plan, upstream.url, directory.path, findings, tally);
  const catalogue = new Catalogue(plan.seed);
  const world: World = { plan, catalogue, skies, upstream, mirror, findings, tally, damaged: new Map() };
  stock(world);
  await mirror.start();
  const atRest = await mirror.openFiles();
  const judge = new Judge(world);

  if (findings.isEmpty) await tumult(world, judge);
  if (findings.isEmpty) await calm(world, judge);
  if (findings.isEmpty) await expectNothingLeft(world, atRest);
  if (findings.isEmpty) {
    await mirror.terminate();
    await inspect(world, { wasClosed: true, isUnharmed: false });
  }
  return reportOf(world);
}

function stock({ catalogue, upstream }: World): void {
  for (const [place, repository] of catalogue.repositories.entries()) {
    for (const [index, tag] of catalogue.tags.entries()) {
      const release = catalogue.release(repository, place < 2 && index === 0);
      if (index === 0) upstream.publish(catalogue.refer(release));
      upstream.publish(release, tag);
    }
  }
}

async function tumult(world: World, judge: Judge): Promise<void> {
  const { plan, findings, tally } = world;
  const until = performance.now() + plan.seconds * 1000;
  const isOver = () => !findings.isEmpty || performance.now() >= until;
  const clients = Array.from({ length: plan.clients }, (_, index) => beClient(world, judge, index, isOver));
  const lanes = [weatherLane, contentLane, livesLane, watchVitals].map((lane) => lane(world, isOver));
  // Of a mirror that is away for good, nobody would hear.
  await Promise.all([...lanes, ...clients]);
  tally.count('clients', '', plan.clients);
}

async function beClient(world: World, judge: Judge, index: number, isOver: () => boolean): Promise<void> {
  const name = `client ${index}`;
  using client = new Client(world, judge, name, isOver);
  for (let count = 0; !isOver(); count += 1) {
    const random = new Random(`${world.plan.seed}/${name}/${count}`);
    try {
      await pickSession(random)(client, random);
    } catch (error) {
      if (!(error instanceof RunOverError))
        world.findings.add('a client of ours failed', (error as Error).stack);
    }
    await pause(random.below(100));
  }
}

/** Upstream is well, and after a while everybody gets everything; then, without it, what was pulled last. */
async function calm(world: World, judge: Judge): Promise<void> {
  const { plan, catalogue, upstream, skies, findings, tally } = world;
  findings.acted('all is calm');
  // What was so a moment ago may be remembered.
  await pause(Math.max(skies.trouble.restMs, 1.5 * plan.missTtlMs));
  using client = new Client(world, judge, 'last client', () => !findings.isEmpty);
  const pull = async (repository: string, tag: string) => {
    if (!findings.isEmpty) return;
    const isWhole = await pullTag(client, repository, tag, CONTAINERD).catch(() => false);
    if (!isWhole)
      findings.addIfFirst('an image can not be pulled although upstream is well', { repository, tag });
  };
  const existing = catalogue.repositories.flatMap((repository) =>
    catalogue.tags
      .filter((tag) => upstream.history.currentTag(repository, tag) !== undefined)
      .map((tag) => ({ repository, tag })),
  );
  for (const { repository, tag } of existing) await pull(repository, tag);
  tally.count('images pulled at the end', '', existing.length);

  await pullUnplugged(world, existing, pull);
}

interface Place {
  readonly repository: string;
  readonly tag: string;
}

/** The smallest image, so that the cache has room for it without losing a part of it again. */
async function pullUnplugged(
  world: World,
  existing: readonly Place[],
  pull: (repository: string, tag: string) => Promise<void>,
): Promise<void> {
  const { plan, upstream, skies, findings, tally } = world;
  const [smallest] = existing
    .map((place) => ({ ...place, bytes: bytesBehind(world, place) }))
    .sort((a, b) => a.bytes - b.bytes);
  if (!smallest || smallest.bytes > plan.cacheBytes * MAX_UNPLUGGED_SHARE) return;
  const { repository, tag } = smallest;
  // The first may make room, and with it lose what it has just used.
  for (let time = 1; time <= 3; time += 1) await pull(repository, tag);
  findings.acted('upstream is unplugged, and what was pulled just now is pulled again');
  tally.count('images pulled unplugged');
  skies.change('outage');
  await upstream.unplug();
  await pull(repository, tag);
  await upstream.plug();
  skies.change('clear');
}

function bytesBehind({ catalogue, upstream }: World, { repository, tag }: Place): number {
  const digest = upstream.history.currentTag(repository, tag);
  const release = catalogue.releasesOf(repository).find(({ image }) => image.manifest.digest === digest);
  const contents = release ? contentsOf(release.image) : [];
  return release ? contents.reduce((sum, { bytes }) => sum + bytes.length, 0) : Infinity;
}

/**
 * What is opened when it is first needed, and then kept: two by each thread that sends files, of which there are four, and
 * by the thread that does the checkpoints, the index once more and what its event loop needs.
 */
const LASTING: Readonly<Record<string, number>> = {
  ...{ anon_inode: 8 + 4, pipe: 2 },
  ...{ 'index.sqlite': 1, 'index.sqlite-wal': 1, 'index.sqlite-shm': 1 },
};

/** With no client there, the mirror has open what it had before the first one came. */
async function expectNothingLeft(world: World, atRest: Readonly<Record<string, number>>): Promise<void> {
  const { mirror, upstream, findings } = world;
  const until = performance.now() + MAX_SETTLING_MS;
  for (;;) {
    const open = await mirror.openFiles();
    const surplus = Object.entries(open).filter(
      ([kind, count]) => count > (atRest[kind] ?? 0) + (LASTING[kind] ?? 0),
    );
    if (surplus.length === 0 && upstream.answering === 0) return;
    if (performance.now() > until) {
      const answering = upstream.answering;
      findings.add('something is left open when all clients are gone', { atRest, open, answering });
      return;
    }
    await pause(100);
  }
}
