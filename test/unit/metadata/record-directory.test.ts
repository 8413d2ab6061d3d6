import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecordDirectory } from '../../../src/metadata/record-directory.ts';
import { addressOf, type IndexRecord } from '../../../src/metadata/record.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';
import { blobOf, collect, digest, imageOf, repositoryKey, tagOf } from './content.ts';

const repository = repositoryKey('library/alpine', 'registry.example:5000');
const image = imageOf([blobOf('layer')]);
const MANIFEST: IndexRecord = { kind: 'manifest', repository, manifest: image };
const BLOB: IndexRecord = { kind: 'blob', repository, blob: blobOf('layer') };
const TAG: IndexRecord = { kind: 'tag', repository, tag: tagOf('3'), descriptor: image.descriptor };
const PIN: IndexRecord = { kind: 'pin', repository, reference: { kind: 'tag', tag: tagOf('3') } };

describe('RecordDirectory', () => {
  let temporary: TempDir;
  let root: string;
  let home: string;
  let errors: Error[];
  let records: RecordDirectory;
  beforeEach(async () => {
    temporary = await tempDir();
    root = join(temporary.path, 'records');
    home = join(root, 'registry.example%3A5000/library/alpine');
    errors = [];
    records = new RecordDirectory(root, (error) => errors.push(error));
  });
  afterEach(() => temporary[Symbol.asyncDispose]());

  const nothing = () => undefined;
  const listed = async () => {
    const all = await collect(records.list());
    return all.sort((a, b) => a.kind.localeCompare(b.kind));
  };

  it('keeps descriptors, and the bytes of a manifest in its own', async () => {
    for (const record of [MANIFEST, BLOB, TAG]) await records.add(record, nothing);
    expect(JSON.parse(await readFile(join(home, '_tags/3'), 'utf8'))).toEqual(image.descriptor);
    const path = join(home, '_manifests/sha256', digest(image).slice(7));
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      ...image.descriptor,
      data: Buffer.from(image.bytes).toString('base64'),
    });
    const blob = await readFile(join(home, '_blobs/sha256', blobOf('layer').digest.slice(7)), 'utf8');
    expect(JSON.parse(blob)).toEqual({ mediaType: 'application/octet-stream', ...blobOf('layer') });
    expect(await readdir(join(home, '_tags'))).toEqual(['3']);
  });

  it('lists what was added', async () => {
    expect(await listed()).toEqual([]);
    for (const record of [TAG, PIN, BLOB, MANIFEST]) await records.add(record, nothing);
    expect(await listed()).toEqual([BLOB, MANIFEST, PIN, TAG]);
    expect(errors).toEqual([]);
  });

  it('writes the record before the row', async () => {
    let there = '';
    await records.add(TAG, () => {
      there = readFileSync(join(home, '_tags/3'), 'utf8');
    });
    expect(JSON.parse(there)).toEqual(image.descriptor);
  });

  it('fails with the row', async () => {
    const broken = () => {
      throw new Error('no row');
    };
    await expect(records.add(TAG, broken)).rejects.toThrow('no row');
    await records.add(TAG, nothing);
    expect(errors).toEqual([]);
  });

  it('removes a record, and the directories that it leaves empty', async () => {
    await records.add(TAG, nothing);
    await records.add(BLOB, nothing);
    await records.add(PIN, nothing);
    await records.remove(addressOf(PIN), () => false);
    await records.remove(addressOf(TAG), () => false);
    expect(await readdir(home)).toEqual(['_blobs']);
    await records.remove(addressOf(BLOB), () => false);
    expect(await readdir(root)).toEqual([]);
    await records.remove(addressOf(BLOB), () => false);
    expect(errors).toEqual([]);
  });

  it('keeps the record of a row that came back', async () => {
    let isHeld = false;
    const added = records.add(TAG, () => {
      isHeld = true;
    });
    const removed = records.remove(addressOf(TAG), () => isHeld);
    await Promise.all([added, removed]);
    expect(await listed()).toEqual([TAG]);
  });

  it('keeps the last of many that are written at once', async () => {
    const others = Array.from({ length: 20 }, (_, n) => imageOf([], { note: String(n) }).descriptor);
    const committed: unknown[] = [];
    await Promise.all(
      others.map((descriptor) => records.add({ ...TAG, descriptor }, () => committed.push(descriptor))),
    );
    expect(committed).toEqual(others);
    expect(await listed()).toEqual([{ ...TAG, descriptor: others.at(-1) }]);
  });

  it('survives that a directory is removed while it is written to', async () => {
    const tags = Array.from({ length: 10 }, (_, n) => ({ ...TAG, tag: tagOf(String(n)) }));
    for (let round = 0; round < 20; round++) {
      await Promise.all(tags.map((tag) => records.add(tag, nothing)));
      await Promise.all([
        ...tags.map((tag) => records.remove(tag, () => false)),
        records.add(TAG, nothing).then(() => records.remove(addressOf(TAG), () => false)),
      ]);
    }
    expect(errors).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });

  it('reports a record that cannot be written, and goes on', async () => {
    await mkdir(dirname(home), { recursive: true });
    await writeFile(home, 'in the way');
    let rows = 0;
    await records.add(TAG, () => (rows += 1));
    expect(rows).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]!.message).toMatch(/_tags\/3 can't be written/);
    expect(errors[0]!.cause).toMatchObject({ code: 'ENOTDIR' });
    await records.remove(addressOf(TAG), () => false);
    expect(errors).toHaveLength(2);
  });

  it('tells records apart that are torn, wrong or not its own', async () => {
    await records.add(TAG, nothing);
    await records.add(MANIFEST, nothing);
    const torn = imageOf([], { note: 'torn' });
    const wrong = imageOf([], { note: 'wrong' });
    await records.add({ ...MANIFEST, manifest: torn }, nothing);
    await records.add({ ...MANIFEST, manifest: wrong }, nothing);
    const manifests = join(home, '_manifests/sha256');
    const pathOf = (of: typeof torn) => join(manifests, digest(of).slice(7));
    await truncate(pathOf(torn), 100);
    await copyFile(pathOf(image), pathOf(wrong));
    await writeFile(join(home, '_tags/empty'), '');
    await writeFile(join(home, '_tags/null'), 'null');
    await writeFile(join(home, '_tags/.3.tmp'), 'left over');
    await writeFile(join(root, 'README'), 'not ours');

    const all = await listed();
    const broken = all.filter((record) => record.kind === 'broken').map((record) => record.path);
    expect(broken.sort()).toEqual(
      [
        pathOf(torn),
        pathOf(wrong),
        join(home, '_tags/empty'),
        join(home, '_tags/null'),
        join(root, 'README'),
      ].sort(),
    );
    expect(all.filter((record) => record.kind !== 'broken')).toEqual([MANIFEST, TAG]);
    const reason = all.find((record) => record.kind === 'broken' && record.path === pathOf(wrong));
    expect(reason).toMatchObject({ reason: { cause: { name: 'InvalidManifestError' } } });
  });
});
