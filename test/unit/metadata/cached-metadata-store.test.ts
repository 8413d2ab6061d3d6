import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CachedMetadataStore } from '../../../src/metadata/cached-metadata-store.ts';
import { tagKey, type MetadataStore } from '../../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import {
  blobOf,
  digest,
  imageOf,
  indexOf,
  link,
  manyBlobs,
  repositoryKey,
  save,
  tagOf,
  tagRecord,
} from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const DEBIAN = repositoryKey('library/debian');
const layer = blobOf('layer');
const image = imageOf([layer]);
const index = indexOf([image]);

describe('CachedMetadataStore', () => {
  let inner: MetadataStore;
  let cached: CachedMetadataStore;
  beforeEach(async () => {
    inner = openSqliteMetadataStore({ path: ':memory:' }).store;
    cached = new CachedMetadataStore(inner);
    await link(cached, ALPINE, layer);
    await save(cached, ALPINE, image, index);
    await cached.saveTag(ALPINE, tagRecord('3', index));
  });
  afterEach(() => cached.close());

  const reads = {
    findTag: () => cached.findTag(ALPINE, tagOf('3')),
    findManifest: () => cached.findManifest(ALPINE, digest(image)),
    findBlob: () => cached.findBlob(ALPINE, layer.digest),
  };
  const names = Object.keys(reads) as (keyof typeof reads)[];

  it.each(names)('asks for what %s found only once', async (name) => {
    const asked = vi.spyOn(inner, name);
    const first = await reads[name]();
    expect(first).toBeDefined();
    expect(await reads[name]()).toBe(first);
    expect(asked).toHaveBeenCalledTimes(1);
  });

  it('does not keep that something is absent', async () => {
    expect(await cached.findTag(DEBIAN, tagOf('3'))).toBeUndefined();
    expect(await cached.findManifest(DEBIAN, digest(image))).toBeUndefined();
    expect(await cached.findBlob(DEBIAN, layer.digest)).toBeUndefined();
    // Not through the cache: only what it does not keep can be seen.
    await inner.saveTag(DEBIAN, tagRecord('3', image));
    await inner.linkManifest(DEBIAN, digest(image));
    await inner.linkBlob(DEBIAN, layer);
    expect(await cached.findTag(DEBIAN, tagOf('3'))).toBeDefined();
    expect(await cached.findManifest(DEBIAN, digest(image))).toBeDefined();
    expect(await cached.findBlob(DEBIAN, layer.digest)).toBeDefined();
  });

  it('drops all that an eviction takes, the tag of an index above included', async () => {
    for (const name of names) await reads[name]();
    await cached.findManifest(ALPINE, digest(index));
    await cached.evict({ kind: 'blob', digest: layer.digest });
    for (const name of names) expect(await reads[name]()).toBeUndefined();
    expect(await cached.findManifest(ALPINE, digest(index))).toBeUndefined();
  });

  it('drops all that a purge takes out of a repository, what another still holds included', async () => {
    await save(cached, DEBIAN, image);
    await link(cached, DEBIAN, layer);
    for (const name of names) await reads[name]();
    await cached.purge(ALPINE, { kind: 'tag', tag: tagOf('3') });
    for (const name of names) expect(await reads[name]()).toBeUndefined();
    expect(await cached.findManifest(DEBIAN, digest(image))).toBeDefined();
  });

  it('lets others work while it drops what a purge of much has taken', async () => {
    for (const blob of manyBlobs(1000)) await link(cached, ALPINE, blob);
    const turns: number[] = [];
    let dropped = 0;
    const told = new CachedMetadataStore(inner, 1_000_000, () => {
      dropped += 1;
      if (dropped % 100 === 0) setImmediate(() => turns.push(dropped));
    });
    await told.purge(ALPINE, 'all');
    expect(dropped).toBeGreaterThan(1000);
    expect(new Set(turns).size).toBeGreaterThan(3);
  });

  it('drops what a write may have changed although it failed', async () => {
    for (const name of names) await reads[name]();
    const changeThenFail = async () => {
      await inner.forgetTag(ALPINE, tagOf('3'));
      await inner.unlinkManifest(ALPINE, digest(image));
      throw new Error('failed at the end');
    };
    vi.spyOn(inner, 'evict').mockImplementation(changeThenFail);
    await expect(cached.evict({ kind: 'manifest', digest: digest(index) })).rejects.toThrow('failed');
    expect(await reads.findTag()).toBeUndefined();
    expect(await reads.findManifest()).toBeUndefined();

    await inner.saveTag(ALPINE, tagRecord('3', index));
    await reads.findTag();
    vi.spyOn(inner, 'saveTag').mockImplementation(changeThenFail);
    await expect(cached.saveTag(ALPINE, tagRecord('3', image))).rejects.toThrow('failed');
    expect(await reads.findTag()).toBeUndefined();
  });

  it.each([
    ['findTag', () => cached.forgetTag(ALPINE, tagOf('3'))],
    ['findTag', () => cached.unlinkManifest(ALPINE, digest(index))],
    ['findManifest', () => cached.unlinkManifest(ALPINE, digest(image))],
    ['findManifest', () => cached.evict({ kind: 'manifest', digest: digest(image) })],
    ['findBlob', () => cached.forgetBlob(layer.digest)],
    ['findTag', () => cached.purge(ALPINE, { kind: 'tag', tag: tagOf('3') })],
    ['findManifest', () => cached.purge(ALPINE, 'all')],
    ['findBlob', () => cached.purge(ALPINE, 'all')],
  ] as const)('does not put back what a slow %s had read before a write took it', async (name, write) => {
    const release = Promise.withResolvers<undefined>();
    const original = inner[name].bind(inner) as (...parameters: unknown[]) => Promise<unknown>;
    const slowly = async (...parameters: unknown[]) => {
      const value = await original(...parameters);
      await release.promise;
      return value;
    };
    vi.spyOn(inner, name).mockImplementationOnce(slowly as never);
    const slow = reads[name]();
    await write();
    release.resolve(undefined);
    expect(await slow).toBeDefined();
    expect(await reads[name]()).toBeUndefined();
  });

  describe('to whoever keeps what rests on it', () => {
    let dropped: (string | undefined)[];
    let told: CachedMetadataStore;
    beforeEach(() => {
      dropped = [];
      told = new CachedMetadataStore(inner, 1_000_000, (key) => dropped.push(key));
    });

    it.each([
      [
        'a tag that is saved',
        () => told.saveTag(ALPINE, tagRecord('3', image)),
        [tagKey(ALPINE, tagOf('3'))],
      ],
      ['a tag that is forgotten', () => told.forgetTag(ALPINE, tagOf('3')), [tagKey(ALPINE, tagOf('3'))]],
      ['a manifest that is unlinked', () => told.unlinkManifest(ALPINE, digest(image)), [digest(image)]],
      ['a blob that is forgotten', () => told.forgetBlob(layer.digest), [layer.digest]],
      [
        'all that is evicted',
        () => told.evict({ kind: 'blob', digest: layer.digest }),
        [layer.digest, digest(image), digest(index)],
      ],
      ['a blob that no repository holds', () => told.forgetUnheld(layer.digest), [layer.digest]],
      [
        'all that is purged',
        () => told.purge(ALPINE, { kind: 'tag', tag: tagOf('3') }),
        [tagKey(ALPINE, tagOf('3')), layer.digest, digest(image), digest(index)],
      ],
    ] as const)('tells of %s', async (_what, write, keys) => {
      await write();
      expect([...dropped].sort()).toEqual([...keys].sort());
    });

    it('tells of what a write may have changed although it failed', async () => {
      const failing = () => Promise.reject(new Error('failed at the end'));
      for (const name of [
        'saveTag',
        'forgetTag',
        'unlinkManifest',
        'forgetBlob',
        'evict',
        'purge',
      ] as const) {
        vi.spyOn(inner, name).mockImplementation(failing);
      }
      await expect(told.saveTag(ALPINE, tagRecord('3', image))).rejects.toThrow('failed');
      await expect(told.forgetTag(ALPINE, tagOf('4'))).rejects.toThrow('failed');
      await expect(told.unlinkManifest(ALPINE, digest(image))).rejects.toThrow('failed');
      await expect(told.forgetBlob(layer.digest)).rejects.toThrow('failed');
      await expect(told.evict({ kind: 'manifest', digest: digest(index) })).rejects.toThrow('failed');
      await expect(told.purge(ALPINE, 'all')).rejects.toThrow('failed');
      const tags = ['3', '4'].map((tag) => tagKey(ALPINE, tagOf(tag)));
      // Without a key: nobody knows what.
      expect(dropped).toEqual([...tags, digest(image), layer.digest, undefined, undefined]);
    });

    it('tells nothing where something is only read or added', async () => {
      await told.findTag(ALPINE, tagOf('3'));
      await told.findManifest(ALPINE, digest(image));
      await told.linkManifest(DEBIAN, digest(image));
      await link(told, DEBIAN, layer);
      await save(told, DEBIAN, image);
      await told.pin(ALPINE, { kind: 'tag', tag: tagOf('3') });
      await told.unpin(ALPINE, { kind: 'tag', tag: tagOf('3') });
      await told.pinnedContent();
      await told.purge(DEBIAN, { kind: 'tag', tag: tagOf('unknown') });
      expect(dropped).toEqual([]);
    });

    it('names the tags of two upstreams apart', () => {
      const [here, there] = ['docker.io', 'ghcr.io'].map((upstream) =>
        tagKey(repositoryKey('library/alpine', upstream), tagOf('3')),
      );
      expect(here).not.toBe(there);
    });
  });

  it('holds no more bytes than it may', async () => {
    const small = new CachedMetadataStore(inner, 16_384);
    const manifests = Array.from({ length: 20 }, (_, n) => imageOf([], { note: `${n}`.padEnd(3000, '.') }));
    const large = imageOf([], { note: '.'.repeat(20_000) });
    await save(small, ALPINE, large, ...manifests);
    const asked = vi.spyOn(inner, 'findManifest');
    for (let round = 0; round < 2; round++) {
      for (const manifest of manifests) await small.findManifest(ALPINE, digest(manifest));
    }
    expect(asked).toHaveBeenCalledTimes(40);
    asked.mockClear();
    // The last ones fit, one that is larger than the whole never does.
    await small.findManifest(ALPINE, digest(manifests.at(-1)!));
    expect(asked).toHaveBeenCalledTimes(0);
    for (let round = 0; round < 2; round++) await small.findManifest(ALPINE, digest(large));
    expect(asked).toHaveBeenCalledTimes(2);
  });
});
