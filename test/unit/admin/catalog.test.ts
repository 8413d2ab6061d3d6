import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Page } from '../../../src/admin/views.ts';
import { buildImage, buildIndex, contentOf } from '../../support/images.ts';
import { openWorld, type World } from './world.ts';

const amd64 = buildImage({ seed: 'amd64', architecture: 'amd64' });
const arm64 = buildImage({ seed: 'arm64', architecture: 'arm64' });
const attestation = buildImage({ seed: 'attestation' });
const index = buildIndex([
  { image: amd64, platform: { os: 'linux', architecture: 'amd64' } },
  { image: arm64, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
  { image: attestation, platform: { os: 'unknown', architecture: 'unknown' } },
]);
const error = (kind: string, message = '') =>
  expect.objectContaining({
    ...{ name: 'AdminError', kind, message: expect.stringContaining(message) as string },
  }) as Error;
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string;
const FIRST = { limit: 100 };

async function everything<T>(list: (after: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const all: T[] = [];
  for (let after: string | undefined; ;) {
    const { items, next } = await list(after);
    all.push(...items);
    if (next === undefined) return all;
    after = next;
  }
}

describe('the catalog', () => {
  let world: World;

  beforeEach(async () => {
    world = await openWorld();
    world.hub.push('library/multi', index, '1', 'latest');
    world.hub.push('library/single', amd64, '1');
    world.ghcr.push('team/app', amd64, '1');
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  describe('of repositories', () => {
    beforeEach(async () => {
      for (const name of ['aaa/app', 'zzz/app', 'library/app']) world.hub.push(name, amd64, '1');
      for (const text of ['aaa/app:1', 'zzz/app:1', 'app:1', 'ghcr.io/team/app:1']) await world.pull(text);
    });

    it('has those of all upstreams in one order, however many come at once', async () => {
      for (const limit of [1, 2, 3, 4, 5]) {
        const all = await everything((after) => world.catalog.listRepositories({ after, limit }));
        expect(all.map(({ repository }) => repository)).toEqual([
          ...['aaa/app', 'ghcr.io/team/app', 'library/app', 'zzz/app'],
        ]);
      }
    });

    it('says of each what it holds and shares', async () => {
      await world.pull('multi:1');
      const { items } = await world.catalog.listRepositories({ ...FIRST, search: 'APP' });
      const bytes = [amd64.manifest, ...amd64.blobs].reduce((sum, { bytes }) => sum + bytes.length, 0);
      expect(items[1]).toEqual({
        ...{ repository: 'ghcr.io/team/app', upstream: 'ghcr.io', tags: 1, manifests: 1, blobs: 3 },
        ...{ bytes, sharedBytes: bytes, lastUsedAt: ISO },
      });
      expect(items).toHaveLength(4);
    });

    it.each([
      ['team', ['ghcr.io/team/app']],
      ['ghcr', ['ghcr.io/team/app']],
      ['ghcr.io/', ['ghcr.io/team/app']],
      ['cr.io/team/a', ['ghcr.io/team/app']],
      ['io/zzz', []],
      ['y/app', ['library/app']],
      ['/', ['aaa/app', 'ghcr.io/team/app', 'library/app', 'zzz/app']],
      ['nothing', []],
    ])('finds %j in the names as they are shown', async (search, expected) => {
      for (const limit of [1, 100]) {
        const found = await everything((after) => world.catalog.listRepositories({ after, limit, search }));
        expect(found.map(({ repository }) => repository)).toEqual(expected);
      }
    });

    it.each([0, 1001, 1.5, NaN])('gives no page of %d', async (limit) => {
      await expect(world.catalog.listRepositories({ limit })).rejects.toEqual(error('invalid'));
    });
  });

  describe('of tags', () => {
    it('says what each is, with the platforms that are here', async () => {
      await world.pull('multi:1');
      await world.pull(`multi@${arm64.manifest.digest}`);
      await world.actions.pin('multi:1');
      const { items } = await world.catalog.listTags('multi', FIRST);
      expect(items).toEqual([
        {
          ...{ tag: '1', digest: index.manifest.digest, mediaType: index.manifest.mediaType },
          ...{ checkedAt: ISO, isHeld: true, isPinned: true, platforms: ['linux/arm64/v8'], lastUsedAt: ISO },
          bytes: [index.manifest, arm64.manifest, ...arm64.blobs].reduce(
            (sum, { bytes }) => sum + bytes.length,
            0,
          ),
        },
      ]);
    });

    it('has the platform of a single manifest from its config, once that is here', async () => {
      await world.repositoryOf('library/single').manifest(world.names.parse('single:1').reference);
      expect((await world.catalog.listTags('single', FIRST)).items[0]!.platforms).toEqual([]);
      await world.pull('single:1');
      expect((await world.catalog.listTags('single', FIRST)).items[0]!.platforms).toEqual(['linux/amd64']);
    });

    it('knows of tags whose manifest is not here', async () => {
      await world.repositoryOf('library/single').resolve(world.names.parse('single:1').reference);
      expect((await world.catalog.listTags('single', FIRST)).items).toMatchObject([
        { tag: '1', isHeld: false, platforms: [], bytes: 0, isPinned: false },
      ]);
    });

    it('comes a page at a time, and is empty for a repository of which only digests were pulled', async () => {
      await world.pull('multi:1');
      await world.pull('multi:latest');
      const tags = await everything((after) => world.catalog.listTags('multi', { after, limit: 1 }));
      expect(tags.map(({ tag }) => tag)).toEqual(['1', 'latest']);
      await world.pull(`single@${amd64.manifest.digest}`);
      expect(await world.catalog.listTags('single', FIRST)).toEqual({ items: [] });
    });

    it('knows no repository of which nothing is here, nor pages after what is no tag', async () => {
      await world.pull('single:1');
      for (const name of ['singl', 'singlf', 'single/x', 'other', 'ghcr.io/single']) {
        await expect(world.catalog.listTags(name, FIRST)).rejects.toEqual(error('unknown', name));
        await expect(world.catalog.listManifests(name, FIRST)).rejects.toEqual(error('unknown', name));
      }
      await expect(world.catalog.listTags('single', { ...FIRST, after: 'a b' })).rejects.toEqual(
        error('invalid'),
      );
    });
  });

  it('lists manifests by their digests, with their tags', async () => {
    await world.pull('multi:1');
    await world.pull('multi:latest');
    await world.pull(`multi@${arm64.manifest.digest}`);
    const all = await everything((after) => world.catalog.listManifests('multi', { after, limit: 1 }));
    const shown = ({ digest, mediaType, bytes }: typeof index.manifest, tags: string[]) => {
      return { digest, mediaType, size: bytes.length, tags, lastUsedAt: ISO };
    };
    const expected = [shown(index.manifest, ['1', 'latest']), shown(arm64.manifest, [])];
    expect(all).toEqual(expected.sort((a, b) => (a.digest < b.digest ? -1 : 1)));
    await expect(world.catalog.listManifests('multi', { ...FIRST, after: 'x' })).rejects.toEqual(
      error('invalid'),
    );
  });

  describe('of a manifest', () => {
    it('has an index with its children, which are here or not, and without attestations', async () => {
      await world.pull('multi:1');
      await world.pull(`multi@${arm64.manifest.digest}`);
      expect(await world.catalog.manifest('multi:1')).toEqual({
        ...{ digest: index.manifest.digest, mediaType: index.manifest.mediaType },
        ...{ size: index.manifest.bytes.length, tags: ['1'], lastUsedAt: ISO },
        ...{ repository: 'library/multi', upstream: 'docker.io', layers: [], isPinned: false },
        manifests: [
          { ...contentView(amd64.manifest, 0), platform: 'linux/amd64' },
          { ...contentView(arm64.manifest, 1), platform: 'linux/arm64/v8' },
        ],
      });
    });

    it('has an image with its config and layers, and who else holds them', async () => {
      await world.pull('single:1');
      await world.pull('ghcr.io/team/app:1');
      await world.actions.pin('single:1');
      const view = await world.catalog.manifest(`single@${amd64.manifest.digest}`);
      expect(view).toMatchObject({
        ...{ platform: 'linux/amd64', tags: ['1'], isPinned: true, manifests: [] },
        config: contentView(amd64.config, 2),
        layers: amd64.layers.map((layer) => contentView(layer, 2)),
      });
      expect((await world.catalog.manifest('ghcr.io/team/app:1')).isPinned).toBe(false);
    });

    it('says what it is about', async () => {
      const signature = buildImage({ seed: 'signature', subject: amd64.manifest, layers: 1 });
      world.hub.push('library/single', signature, 'signature');
      await world.pull('single:signature');
      expect(await world.catalog.manifest('single:signature')).toMatchObject({
        subject: amd64.manifest.digest,
      });
    });

    it('takes no platform from a config that is none', async () => {
      const config = contentOf(Buffer.from('no JSON at all'), amd64.config.mediaType);
      const { mediaType } = amd64.manifest;
      const bytes = Buffer.from(
        JSON.stringify({
          ...{ schemaVersion: 2, mediaType, layers: [] },
          config: { mediaType: config.mediaType, digest: config.digest, size: config.bytes.length },
        }),
      );
      world.hub.push(
        'library/odd',
        { manifest: contentOf(bytes, mediaType), blobs: [config], children: [] },
        '1',
      );
      await world.pull('odd:1');
      expect(await world.catalog.manifest('odd:1')).not.toHaveProperty('platform');
    });

    it('knows none that is not here', async () => {
      await world.pull('single:1');
      for (const text of ['single:2', 'other', `single@${arm64.manifest.digest}`, 'ghcr.io/single:1']) {
        await expect(world.catalog.manifest(text)).rejects.toEqual(error('unknown', 'is not cached'));
      }
      await expect(world.catalog.manifest('a b')).rejects.toEqual(error('invalid'));
    });
  });
});

function contentView(content: typeof index.manifest, repositories: number) {
  const { digest, mediaType, bytes } = content;
  return { digest, mediaType, size: bytes.length, isHeld: repositories > 0, repositories };
}
