import { beforeEach, afterEach, describe, expect, it, vi } from 'vitest';
import { ForgivingMetadataStore } from '../../../src/metadata/forgiving-metadata-store.ts';
import type { PullMetadata } from '../../../src/metadata/metadata-store.ts';
import type { MetadataStore } from '../../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { linksOf } from '../../../src/oci/manifest.ts';
import { blobOf, digest, imageOf, link, repositoryKey, save, tagOf, tagRecord } from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const layer = blobOf('layer');
const image = imageOf([layer]);

type Operation = keyof PullMetadata;

/** What each call answers when the index fails. */
const ABSENCE = {
  findTag: undefined,
  saveTag: undefined,
  forgetTag: false,
  listTags: [],
  findManifest: undefined,
  findManifestAnywhere: undefined,
  saveManifest: undefined,
  linkManifest: undefined,
  unlinkManifest: undefined,
  listReferrers: [],
  findBlob: undefined,
  linkBlob: undefined,
  forgetBlob: false,
  listRepositories: [],
} as const satisfies Record<Operation, unknown>;

const CALLS: Record<Operation, (store: PullMetadata) => Promise<unknown>> = {
  findTag: (store) => store.findTag(ALPINE, tagOf('3')),
  saveTag: (store) => store.saveTag(ALPINE, tagRecord('3', image)),
  forgetTag: (store) => store.forgetTag(ALPINE, tagOf('3')),
  listTags: (store) => store.listTags(ALPINE),
  findManifest: (store) => store.findManifest(ALPINE, digest(image)),
  findManifestAnywhere: (store) => store.findManifestAnywhere(digest(image)),
  saveManifest: (store) => store.saveManifest(ALPINE, image, linksOf(image)),
  linkManifest: (store) => store.linkManifest(ALPINE, digest(image)),
  unlinkManifest: (store) => store.unlinkManifest(ALPINE, digest(image)),
  listReferrers: (store) => store.listReferrers(ALPINE, digest(image)),
  findBlob: (store) => store.findBlob(ALPINE, layer.digest),
  linkBlob: (store) => store.linkBlob(ALPINE, layer),
  forgetBlob: (store) => store.forgetBlob(layer.digest),
  listRepositories: (store) => store.listRepositories('docker.io', undefined, 10),
};
const OPERATIONS = Object.keys(CALLS) as Operation[];
const SAVES: readonly Operation[] = ['saveTag', 'saveManifest', 'linkManifest', 'linkBlob'];

describe('ForgivingMetadataStore', () => {
  let inner: MetadataStore;
  let forgiving: ForgivingMetadataStore;
  let errors: (readonly [Operation, Error])[];
  let saved: number;
  beforeEach(async () => {
    inner = openSqliteMetadataStore({ path: ':memory:' }).store;
    await link(inner, ALPINE, layer);
    await save(inner, ALPINE, image);
    await inner.saveTag(ALPINE, tagRecord('3', image));
    errors = [];
    saved = 0;
    forgiving = new ForgivingMetadataStore(inner, {
      onError: (operation, error) => void errors.push([operation, error]),
      onSaved: () => void (saved += 1),
    });
  });
  afterEach(() => inner.close());

  it.each(OPERATIONS)('passes %s on, and what comes of it', async (operation) => {
    const asked = vi.spyOn(inner, operation);
    const answer = await CALLS[operation](forgiving);
    expect(asked).toHaveBeenCalledTimes(1);
    expect(answer).toEqual(await asked.mock.results[0]?.value);
    expect(errors).toEqual([]);
  });

  it.each(OPERATIONS)(
    'answers %s as if nothing were known when the index fails, and tells of it',
    async (operation) => {
      // Really broken: every statement of a closed database fails.
      await inner.close();
      expect(await CALLS[operation](forgiving)).toEqual(ABSENCE[operation]);
      expect(errors).toEqual([[operation, expect.any(Error)]]);
      expect(saved).toBe(0);
    },
  );

  it('tells each time, and is as good as before when the index is', async () => {
    const failure = Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR' });
    vi.spyOn(inner, 'findBlob').mockRejectedValueOnce(failure).mockRejectedValueOnce(failure);
    expect(await CALLS.findBlob(forgiving)).toBeUndefined();
    expect(await CALLS.findBlob(forgiving)).toBeUndefined();
    expect(errors).toEqual([
      ['findBlob', failure],
      ['findBlob', failure],
    ]);
    expect(await CALLS.findBlob(forgiving)).toEqual(layer);
  });

  it.each(OPERATIONS)('knows of %s whether the index took something', async (operation) => {
    await CALLS[operation](forgiving);
    expect(saved).toBe(SAVES.includes(operation) ? 1 : 0);
  });
});
