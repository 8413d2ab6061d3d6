/** What happens to the mirror besides its clients, in three lanes that go on at once: weather, content, lives. */
import { setTimeout as pause } from 'node:timers/promises';
import { Random } from '../../support/random.ts';
import { inspect } from './inspection.ts';
import { damageBlob, damageIndex } from './mischief.ts';
import { checkIndexSize } from './vitals.ts';
import type { Weather } from './weather.ts';
import type { World } from './world.ts';

type IsOver = () => boolean;

const BUSY = { repository: 'team/app', tag: 'latest' };

const CHANGES = [
  ...['move', 'move', 'move', 'move', 'move', 'move', 'delete', 'delete'],
  ...['withdraw', 'restore', 'restore', 'restore', 'tokens', 'links'],
];

/** Squalls most of the time, for in them and in clear weather every pull has to come through. */
export async function weatherLane(world: World, isOver: IsOver): Promise<void> {
  const random = new Random(`${world.plan.seed}/weather`);
  const changeTo = async (weather: Weather, ms: number) => {
    world.findings.acted(`weather: ${weather}`);
    world.tally.count('weathers', weather);
    world.skies.change(weather);
    await pauseUnless(isOver, ms);
  };
  while (!isOver()) {
    await changeTo(random.pick(['clear', 'squall', 'squall']), random.between(500, 2500));
    if (isOver()) break;
    await changeTo('squall', random.between(1000, 4000));
    if (isOver()) break;
    const trouble = random.pick<Weather | 'unplugged'>(['storm', 'storm', 'outage', 'unplugged']);
    if (trouble === 'unplugged') await world.upstream.unplug();
    await changeTo(trouble === 'unplugged' ? 'outage' : trouble, random.between(1000, 3500));
    await world.upstream.plug();
    await changeTo('squall', random.between(8000, 14_000));
  }
  world.skies.change('clear');
}

export async function contentLane(world: World, isOver: IsOver): Promise<void> {
  const { catalogue, upstream, findings, tally, plan } = world;
  const random = new Random(`${plan.seed}/content`);
  while (!isOver()) {
    await pauseUnless(isOver, random.between(100, 600));
    const what = random.pick(CHANGES);
    // One tag moves all the time: it shows soonest who gives out what is old.
    const isBusy = what === 'move' && random.chance(0.5);
    const repository = isBusy ? BUSY.repository : random.pick(catalogue.repositories);
    const tag = isBusy ? BUSY.tag : random.pick(catalogue.tags);
    findings.acted(`upstream: ${what} ${repository}:${tag}`);
    tally.count('changes upstream', what);
    if (what === 'move') {
      const release = catalogue.release(repository);
      if (random.chance(0.3)) upstream.publish(catalogue.refer(release));
      upstream.publish(release, tag);
    }
    if (what === 'delete') upstream.deleteTag(repository, tag);
    if (what === 'withdraw') upstream.withdraw(repository);
    if (what === 'restore') for (const name of catalogue.repositories) upstream.restore(name);
    if (what === 'tokens') upstream.expireTokens();
    if (what === 'links') upstream.expireLinks();
  }
  for (const repository of catalogue.repositories) upstream.restore(repository);
}

/** Ends the mirror in one way or another, does something to its files, and starts it again. */
export async function livesLane(world: World, isOver: IsOver): Promise<void> {
  const { mirror, findings, tally } = world;
  const random = new Random(`${world.plan.seed}/lives`);
  let isUnharmed = true;
  while (!isOver()) {
    await pauseUnless(isOver, random.between(500, 3500));
    if (random.chance(0.6)) {
      isUnharmed = false;
      await damageBlob(world, random);
    }
    await pauseUnless(isOver, random.between(300, 2500));
    if (isOver()) return;
    const end = random.pick(['kill', 'kill', 'kill twice', 'terminate']);
    findings.acted(`the mirror: ${end}`);
    tally.count('ends', end);
    if (end === 'terminate') {
      await mirror.terminate();
    } else {
      isUnharmed = false;
      await mirror.kill();
    }
    await inspect(world, { wasClosed: end === 'terminate', isUnharmed });
    await checkIndexSize(world);
    if (random.chance(0.3)) {
      isUnharmed = false;
      await damageIndex(world, random);
    }
    if (random.chance(0.3)) await damageBlob(world, random);
    if (end === 'kill twice') await mirror.startInVain(random.between(0, 1500));
    await pause(random.between(0, 500));
    await mirror.start();
    findings.acted('the mirror: listens again');
  }
}

async function pauseUnless(isOver: IsOver, ms: number): Promise<void> {
  for (let left = ms; !isOver() && left > 0; left -= 100) await pause(Math.min(100, left));
}
