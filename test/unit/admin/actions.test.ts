import { describe, expect, it } from 'vitest';
import type { RepositoryKey } from '../../../src/metadata/metadata-store.ts';
import { parseReference, parseRepositoryName, type Reference } from '../../../src/oci/reference.ts';
import { buildImage } from '../../support/images.ts';
import { openWorld } from './world.ts';

const image = buildImage();
const unknown = expect.objectContaining({ name: 'AdminError', kind: 'unknown' }) as Error;
const invalid = expect.objectContaining({ name: 'AdminError', kind: 'invalid' }) as Error;
const heldBytes = [image.manifest, ...image.blobs].reduce((sum, { bytes }) => sum + bytes.length, 0);

describe('pins', () => {
  it('are shown with what is here of them, before and after it has come', async () => {
    await using world = await openWorld();
    world.hub.push('library/app', image, '1');
    const pin = { reference: 'library/app:1', upstream: 'docker.io' };
    expect(await world.actions.pin('app:1')).toEqual({ ...pin, bytes: 0, isHeld: false });
    await world.pull('app:1');
    expect(await world.actions.pin('docker.io/library/app:1')).toEqual({
      ...pin,
      bytes: heldBytes,
      isHeld: true,
    });
    expect(await world.actions.listPins({ limit: 10 })).toEqual({
      items: [{ ...pin, bytes: heldBytes, isHeld: true }],
    });
  });

  it('are told apart by repository and reference', async () => {
    await using world = await openWorld();
    for (const text of ['app:1', 'app:2', 'ghcr.io/app:1', 'app-other:2']) await world.actions.pin(text);
    expect(await world.actions.pin('app:2')).toMatchObject({ reference: 'library/app:2' });
    await world.actions.unpin('app:1');
    const { items } = await world.actions.listPins({ limit: 10 });
    expect(items.map(({ reference }) => reference)).toEqual([
      ...['library/app:2', 'library/app-other:2', 'ghcr.io/app:1'],
    ]);
  });

  it('come a page at a time', async () => {
    await using world = await openWorld();
    const all = ['library/a:1', 'library/a:2', `library/a@${image.manifest.digest}`, 'ghcr.io/b:1'];
    for (const text of all) await world.actions.pin(text);
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const { items, next } = await world.actions.listPins({ after, limit: 1 });
      seen.push(...items.map(({ reference }) => reference));
      if (next === undefined) break;
      after = next;
    }
    expect(seen).toEqual(all);
    await expect(async () => world.actions.listPins({ after: 'nonsense', limit: 1 })).rejects.toEqual(
      invalid,
    );
  });

  it('can be taken away once', async () => {
    await using world = await openWorld();
    await world.actions.pin('app:1');
    await world.actions.unpin('app:1');
    await expect(world.actions.unpin('app:1')).rejects.toEqual(unknown);
    expect((await world.actions.listPins({ limit: 10 })).items).toEqual([]);
  });
});

describe('a pin of an upstream that is no longer configured', () => {
  const [gone, other] = ['old.example.com', 'old'].map((upstream) => ({
    ...{ upstream, name: parseRepositoryName('team/app') },
  })) as [RepositoryKey, RepositoryKey];
  const reference: Reference = parseReference('1');

  it('can be taken away by the name that it is shown with', async () => {
    await using world = await openWorld();
    for (const repository of [gone, other]) await world.metadata.pin(repository, reference);
    const { items } = await world.actions.listPins({ limit: 10 });
    expect(items.map((pin) => pin.reference)).toEqual(['old/team/app:1', 'old.example.com/team/app:1']);
    for (const pin of items) await world.actions.unpin(pin.reference);
    expect((await world.actions.listPins({ limit: 10 })).items).toEqual([]);
    await expect(world.actions.unpin('old/team/app:1')).rejects.toEqual(unknown);
    await expect(world.actions.unpin('old.example.com/team/app:1')).rejects.toEqual(invalid);
  });
});

describe('a pin that is made during an eviction', () => {
  it('says of what is here only what stays', async () => {
    await using world = await openWorld();
    const references = ['app:1', 'other:1'];
    world.hub.push('library/app', image, '1');
    world.hub.push('library/other', buildImage({ seed: 'other' }), '1');
    for (const reference of references) await world.pull(reference);
    const [begun, gate] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const remove = world.blobs.delete.bind(world.blobs);
    world.blobs.delete = async (digest) => {
      begun.resolve(undefined);
      await gate.promise;
      return remove(digest);
    };
    const job = world.actions.evict(Number.MAX_SAFE_INTEGER);
    await begun.promise;
    const pinning = Promise.all(references.map((reference) => world.actions.pin(reference)));
    setImmediate(() => gate.resolve(undefined));
    const pins = await pinning;
    await world.ended(job);
    expect((await world.actions.listPins({ limit: 10 })).items).toEqual(pins);
  });
});

describe('the jobs that keep the cache in order', () => {
  it('evict as much as is asked for, and say what went', async () => {
    await using world = await openWorld();
    world.hub.push('library/app', image, '1');
    await world.pull('app:1');
    const job = await world.ended(world.actions.evict(1));
    expect(job).toMatchObject({ kind: 'evict', state: 'succeeded' });
    expect(job.evict!.freedBytes).toBeGreaterThan(0);
    const { blobBytes, manifestBytes } = await world.metadata.totals();
    expect(blobBytes + manifestBytes).toBe(heldBytes - job.evict!.freedBytes);
  });

  it.each([0, -1, 1.5, NaN, Infinity])('evict no %d bytes', async (bytes) => {
    await using world = await openWorld();
    expect(() => world.actions.evict(bytes)).toThrow(invalid);
  });

  it('scrub, with the progress that was seen last', async () => {
    const gate = Promise.withResolvers<undefined>();
    let scannedBlobs = 0;
    await using world = await openWorld({
      runScrub: () => gate.promise,
      scrubProgress: () =>
        Promise.resolve({
          ...{ isRunning: true, scannedBlobs, scannedBytes: 0, corruptBlobs: 0, lastCompletedAt: 1000 },
        }),
    });
    const { id } = world.actions.scrub();
    expect(() => world.actions.scrub()).toThrow(expect.objectContaining({ kind: 'conflict' }) as Error);
    scannedBlobs = 3;
    world.actions.job(id);
    await Promise.resolve();
    await Promise.resolve();
    expect(world.actions.job(id).scrub).toMatchObject({ scannedBlobs: 3, isRunning: true });
    scannedBlobs = 5;
    gate.resolve(undefined);
    expect(await world.ended(world.actions.job(id))).toMatchObject({
      state: 'succeeded',
      scrub: { scannedBlobs: 5, lastCompletedAt: '1970-01-01T00:00:01.000Z' },
    });
  });

  it('scrub and fail, with what was seen, where the disk fails', async () => {
    await using world = await openWorld({
      runScrub: () => Promise.reject(new Error('the disk is gone')),
      scrubProgress: () => Promise.reject(new Error('so is the index')),
    });
    expect(await world.ended(world.actions.scrub())).toMatchObject({
      ...{ state: 'failed', error: 'the disk is gone' },
    });
  });

  it('check the index, until they are cancelled', async () => {
    await using world = await openWorld({
      runCheck: (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    });
    const { id } = world.actions.check();
    expect(world.actions.cancel(id).kind).toBe('check');
    expect(await world.ended(world.actions.job(id))).toMatchObject({ state: 'cancelled' });
    expect(() => world.actions.job('nonsense')).toThrow(unknown);
  });
});

describe('the offline switch', () => {
  it('is told of when it is moved, and not when it is where it should be', async () => {
    const moves: boolean[] = [];
    const offline = { isOn: false };
    await using world = await openWorld({ offline, onOffline: (isOffline) => void moves.push(isOffline) });
    for (const isOffline of [true, true, false, false]) world.actions.setOffline(isOffline);
    expect(moves).toEqual([true, false]);
    world.actions.setOffline(true);
    expect(offline.isOn).toBe(true);
  });
});
