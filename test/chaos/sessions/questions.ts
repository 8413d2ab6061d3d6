/** Short questions: whether something is there, has changed, what there is; and for what is not there. */
import { digestOf } from '../../../src/oci/digest.ts';
import type { Random } from '../../support/random.ts';
import { pickBlob, pickManifest, pickRepository, type Client } from '../support/client.ts';

export async function heads(client: Client, random: Random): Promise<void> {
  const { world } = client;
  const repository = pickRepository(world, random);
  const digest = pickManifest(world, repository, random);
  await client.ask({ kind: 'manifest', method: 'HEAD', repository, digest });
  const blob = pickBlob(world, repository, random);
  await client.ask({ kind: 'blob', method: 'HEAD', repository, digest: blob });
  await client.ask({ kind: 'tag', method: 'HEAD', repository, tag: random.pick(world.catalogue.tags) });
}

export async function conditions(client: Client, random: Random): Promise<void> {
  const { world } = client;
  const repository = pickRepository(world, random);
  const tag = random.pick(world.catalogue.tags);
  const current = world.upstream.history.currentTag(repository, tag);
  if (current) await client.ask({ kind: 'tag', method: 'GET', repository, tag, ifNoneMatch: current });
  const blob = pickBlob(world, repository, random);
  const other = pickBlob(world, repository, random);
  await client.ask({
    kind: 'blob',
    method: 'GET',
    repository,
    digest: blob,
    ifNoneMatch: random.pick([blob, other]),
  });
}

export async function lists(client: Client, random: Random): Promise<void> {
  const { world } = client;
  const repository = pickRepository(world, random);
  const page = random.pick([{}, { n: 1 }, { n: 2, last: '3' }, { last: 'latest' }, { n: 0 }]);
  await client.ask({ kind: 'tags', method: random.pick(['GET', 'GET', 'HEAD']), repository, ...page });
  const digest = pickManifest(world, repository, random);
  await client.ask({ kind: 'referrers', method: 'GET', repository, digest });
}

/** What nobody has, what another repository has, and a tag that there never was. */
export async function absences(client: Client, random: Random): Promise<void> {
  const { world } = client;
  const [repository, other] = [pickRepository(world, random), pickRepository(world, random)];
  const foreign = pickBlob(world, other, random);
  const nothing = digestOf(Buffer.from(random.seed));
  for (const method of ['HEAD', 'GET'] as const) {
    await client.ask({ kind: 'blob', method, repository, digest: foreign });
    await client.ask({ kind: 'manifest', method, repository, digest: pickManifest(world, other, random) });
    await client.ask({ kind: random.pick(['blob', 'manifest']), method, repository, digest: nothing });
    await client.ask({ kind: 'tag', method, repository, tag: `none-${random.below(20)}` });
  }
}
