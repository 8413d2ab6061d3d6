import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PurgeView } from '../../../src/admin/views.ts';
import { buildImage, buildIndex } from '../../support/images.ts';
import { StalledSink } from '../../support/sinks.ts';
import { CLIENT, openWorld, readBlob, type World } from './world.ts';

const unknown = expect.objectContaining({ name: 'AdminError', kind: 'unknown' }) as Error;
const base = buildImage({ seed: 'base', layers: 1 });
const baseLayer = base.layers[0]!;
const app = buildImage({ seed: 'app', layers: [baseLayer.bytes, Buffer.from('a layer of the app alone')] });
const appLayer = app.layers[1]!;
const sizeOf = (...contents: { bytes: Uint8Array }[]) =>
  contents.reduce((sum, { bytes }) => sum + bytes.length, 0);

describe('purge', () => {
  let world: World;
  let purges: { request: unknown; purged: PurgeView }[];

  beforeEach(async () => {
    purges = [];
    world = await openWorld({ onPurged: (request, purged) => void purges.push({ request, purged }) });
    world.hub.push('library/base', base, '1', 'latest');
    world.hub.push('library/app', app, '1');
    world.ghcr.push('team/app', app, '1');
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  it('frees a tag, its manifest and the files of its blobs, and says how much that was', async () => {
    await world.pull('app:1');
    const { blobBytes, manifestBytes } = await world.metadata.totals();
    const purged = await world.actions.purge({ reference: 'app:1' });
    expect(purged).toEqual({
      freedBytes: sizeOf(app.manifest, app.config, ...app.layers),
      ...{ tags: 1, manifests: 1, blobs: 3, inUse: { blobs: 0, bytes: 0 } },
    });
    expect(purged.freedBytes).toBe(blobBytes + manifestBytes);
    expect(purges).toEqual([{ request: { reference: 'app:1' }, purged }]);
    for (const { digest } of app.blobs) expect(await world.blobs.stat(digest)).toBeUndefined();
    expect(await world.metadata.totals()).toMatchObject({ blobs: 0, manifests: 0 });
  });

  it('leaves what another image shares', async () => {
    await world.pull('app:1');
    await world.pull('base:1');
    const purged = await world.actions.purge({ repository: 'app' });
    expect(purged).toMatchObject({ freedBytes: sizeOf(app.manifest, app.config, appLayer), blobs: 2 });
    expect(await world.blobs.stat(baseLayer.digest)).toBeDefined();
    world.hub.fetched.length = 0;
    await world.pull('base:1');
    expect(world.hub.fetched).toEqual([]);
  });

  it('frees nothing that another upstream has as well, and counts it so', async () => {
    await world.pull('app:1');
    await world.pull('ghcr.io/team/app:1');
    expect(await world.actions.purge({ repository: 'ghcr.io/team/app' })).toMatchObject({
      ...{ freedBytes: 0, tags: 1, manifests: 0, blobs: 0 },
    });
    expect(await world.actions.purge({ repository: 'app' })).toMatchObject({ blobs: 3, manifests: 1 });
  });

  it('takes a manifest by its digest, with the tags that point to it', async () => {
    await world.pull('base:1');
    await world.pull('base:latest');
    expect(await world.actions.purge({ reference: `base@${base.manifest.digest}` })).toMatchObject({
      ...{ tags: 2, manifests: 1, blobs: 2 },
    });
  });

  it('has an image that is pulled again fetched anew', async () => {
    await world.pull('app:1');
    await world.actions.purge({ reference: 'app:1' });
    world.hub.fetched.length = 0;
    await world.pull('app:1');
    expect(new Set(world.hub.fetched)).toEqual(
      new Set([app.manifest, ...app.blobs].map(({ digest }) => digest)),
    );
  });

  it('leaves a pull whole that reads meanwhile, and says what stays because of it', async () => {
    await world.pull('app:1');
    const { content } = await world.repositoryOf('library/app').blob(appLayer.digest, CLIENT);
    const sink = new StalledSink();
    const sent = content.sendTo(sink);
    await sink.stalled.promise;
    const purged = await world.actions.purge({ reference: 'app:1' });
    expect(purged).toMatchObject({ blobs: 2, inUse: { blobs: 1, bytes: appLayer.bytes.length } });
    sink.proceed();
    await sent;
    await content.close();
    sink.destroy();
    await once(sink, 'close');
    // Nobody else is served what is left of it without upstream being asked.
    world.hub.loseBlob(appLayer.digest);
    await expect(readBlob(world.repositoryOf('library/app'), appLayer.digest)).rejects.toMatchObject({
      code: 'BLOB_UNKNOWN',
    });
  });

  it('leaves a download whole that is under way', async () => {
    await world.repositoryOf('library/app').manifest(world.names.parse('app:1').reference);
    const gate = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    world.hub.beforeBlob = async () => {
      begun.resolve(undefined);
      await gate.promise;
    };
    const reading = readBlob(world.repositoryOf('library/app'), appLayer.digest);
    await begun.promise;
    await world.actions.purge({ repository: 'app' });
    gate.resolve(undefined);
    expect(await reading).toEqual(Buffer.from(appLayer.bytes));
  });

  it('knows nothing of what is not there', async () => {
    await expect(world.actions.purge({ reference: 'app:1' })).rejects.toEqual(unknown);
    await world.pull('app:1');
    for (const request of [{ reference: 'app:2' }, { reference: 'app' }, { repository: 'other' }]) {
      await expect(world.actions.purge(request)).rejects.toEqual(unknown);
    }
    expect(purges).toEqual([]);
    expect(await world.blobs.stat(appLayer.digest)).toBeDefined();
  });

  it('empties everything, pins and all, and shows it as a job', async () => {
    const index = buildIndex([{ image: base }, { image: app }]);
    world.hub.push('library/all', index, '1');
    for (const text of ['base:1', 'app:1', 'ghcr.io/team/app:1', 'all:1']) await world.pull(text);
    await world.actions.pin('base:1');
    const { blobBytes, manifestBytes } = await world.metadata.totals();
    const purged = await world.actions.purge({ everything: true });
    expect(purged).toEqual({
      freedBytes: blobBytes + manifestBytes,
      ...{ tags: 4, manifests: 3, blobs: 4, inUse: { blobs: 0, bytes: 0 } },
    });
    expect(await world.metadata.totals()).toMatchObject({ blobs: 0, manifests: 0 });
    expect(world.actions.jobs()).toMatchObject([{ kind: 'purge', state: 'succeeded', purge: purged }]);
    expect(purges).toEqual([{ request: { everything: true }, purged }]);
    expect((await world.actions.listPins({ limit: 10 })).items).toMatchObject([
      { reference: 'library/base:1', isHeld: false },
    ]);
  });

  it('counts what is in use once, also where everything goes', async () => {
    await world.pull('app:1');
    const { content } = await world.repositoryOf('library/app').blob(appLayer.digest, CLIENT);
    expect(await world.actions.purge({ everything: true })).toMatchObject({
      ...{ blobs: 2, inUse: { blobs: 1, bytes: appLayer.bytes.length } },
    });
    await content.close();
    expect(await world.actions.purge({ everything: true })).toMatchObject({
      ...{ blobs: 1, freedBytes: appLayer.bytes.length, inUse: { blobs: 0, bytes: 0 } },
    });
  });

  it('empties everything once at a time', async () => {
    await world.pull('app:1');
    const first = world.actions.purge({ everything: true });
    await expect(world.actions.purge({ everything: true })).rejects.toMatchObject({ kind: 'conflict' });
    await first;
  });
});
