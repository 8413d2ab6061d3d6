/** What has to hold on disk whenever the mirror is not running: files are what their names say, rows and files agree. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { formatRecordPath } from '../../../src/metadata/record-path.ts';
import { decodeDigest } from '../../../src/metadata/sqlite-digest.ts';
import { algorithmOf, digestOf, isDigest } from '../../../src/oci/digest.ts';
import type { RepositoryName, Tag } from '../../../src/oci/reference.ts';
import { blobFiles, type BlobFile } from './mischief.ts';
import type { World } from './world.ts';

const CHECKPOINTS = '.checkpoints';

interface Row {
  readonly digest: Buffer;
  readonly size: number;
}

interface RecordRow {
  readonly upstream: string;
  readonly repository: RepositoryName;
  readonly kind: 'tag' | 'manifest' | 'blob';
  readonly tag: Tag;
  readonly digest: Buffer;
}

export interface InspectionOptions {
  /** The last process has closed the index, and has had the time to look whether rows and files agree. */
  readonly wasClosed: boolean;
  /** Nothing was ever killed or damaged in this data directory. */
  readonly isUnharmed: boolean;
}

export async function inspect(world: World, options: InspectionOptions): Promise<void> {
  const { mirror, findings, tally } = world;
  tally.count('inspections');
  const files = await blobFiles(mirror.dataDir);
  for (const file of files) await inspectFile(world, file);
  await inspectSpool(world, options);
  for (const name of await readdir(mirror.dataDir)) {
    // Kept for people to look at; each is as large as an index.
    if (name.includes('.corrupt-')) await rm(join(mirror.dataDir, name));
  }
  if (!options.wasClosed) return;
  const database = new Database(join(mirror.dataDir, 'index.sqlite'), { readonly: true });
  try {
    const state = database.prepare<[], { closed: number }>('SELECT closed FROM state').get();
    tally.count('index at the end', state?.closed === 1 ? 'sound' : 'to be reconciled');
    const integrity: unknown = database.pragma('integrity_check', { simple: true });
    if (integrity !== 'ok') findings.add('the index is corrupt', String(integrity));
    if (state?.closed === 1) inspectRows(world, database, files);
    inspectManifests(world, database);
    await inspectRecords(world, database, options.isUnharmed);
  } finally {
    database.close();
  }
}

async function inspectFile({ findings, damaged, catalogue }: World, file: BlobFile): Promise<void> {
  if (!isDigest(file.digest)) {
    findings.add('a file in the store has no name of a blob', file);
    return;
  }
  const harm = damaged.get(file.digest);
  const size = catalogue.find(file.digest)?.bytes.length;
  if (harm === 'flipped' || (harm === 'short' && file.size !== size)) return;
  const actual = digestOf(await readFile(file.path), algorithmOf(file.digest));
  if (actual !== file.digest)
    findings.add('a file in the store is not what its name says', { ...file, actual });
}

/** What is there is a beginning of a blob, with the file beside it that vouches for it. */
async function inspectSpool(
  { mirror, findings, tally, catalogue }: World,
  { wasClosed }: InspectionOptions,
): Promise<void> {
  const spool = join(mirror.dataDir, 'spool');
  const names = await readdir(spool);
  for (const name of names) {
    const partner = name.endsWith(CHECKPOINTS) ? name.slice(0, -CHECKPOINTS.length) : name + CHECKPOINTS;
    const isPaired = names.includes(partner);
    // A kill may come between the two; the next start then takes the one away.
    if (wasClosed && !isPaired) findings.add('a file in the spool is alone', name);
    tally.count('spool files', isPaired ? 'partial' : 'single');
    const [, algorithm = '', hex = ''] = /^(sha256|sha512)-([0-9a-f]+)/.exec(name) ?? [];
    const content = catalogue.find(`${algorithm}:${hex}`);
    const { size } = await stat(join(spool, name));
    if (!content) findings.add('a file in the spool is of no blob', name);
    else if (size > content.bytes.length + 1024)
      findings.add('a file in the spool is too large', { name, size });
  }
}

function inspectRows(
  { findings, damaged, plan }: World,
  database: Database.Database,
  files: readonly BlobFile[],
) {
  const rows = database.prepare<[], Row>('SELECT digest, size FROM blobs').all();
  const sizes = new Map(rows.map(({ digest, size }) => [String(decodeDigest(digest)), size]));
  for (const { digest, size } of files) {
    if (sizes.get(digest) !== size && !damaged.has(digest)) {
      findings.add('a file in the store has no row, or another size there', {
        digest,
        size,
        row: sizes.get(digest),
      });
    }
  }
  const present = new Set(files.map(({ digest }) => digest));
  for (const digest of sizes.keys()) {
    if (!present.has(digest) && !damaged.has(digest)) findings.add('a row has no file', { digest });
  }
  const [kept, counted] = [
    'totals',
    '(SELECT (SELECT count(*) FROM blobs) AS blobs, (SELECT coalesce(sum(size), 0) FROM blobs) AS blob_bytes, (SELECT count(*) FROM manifests) AS manifests, (SELECT coalesce(sum(size), 0) FROM manifests) AS manifest_bytes)',
  ].map((source) =>
    database
      .prepare<[], Record<string, number>>(
        `SELECT blobs, blob_bytes, manifests, manifest_bytes FROM ${source}`,
      )
      .get(),
  );
  if (JSON.stringify(kept) !== JSON.stringify(counted))
    findings.add('the totals are wrong', { kept, counted });
  const used = (counted?.['blob_bytes'] ?? 0) + (counted?.['manifest_bytes'] ?? 0);
  if (used > plan.cacheBytes) findings.add('the cache is above its bound', { used, bound: plan.cacheBytes });
}

function inspectManifests({ findings, catalogue }: World, database: Database.Database): void {
  const rows = database.prepare<[], { digest: Buffer; bytes: Buffer }>('SELECT * FROM manifest_bytes').all();
  for (const { digest: key, bytes } of rows) {
    const digest = decodeDigest(key);
    const isRight = catalogue.find(digest)?.bytes.length === bytes.length && digestOf(bytes) === digest;
    if (!isRight) findings.add('a manifest in the index has wrong bytes', { digest });
  }
}

/** Never a row without its record; where nothing was harmed, no record without its row either. */
async function inspectRecords(
  { mirror, findings, tally }: World,
  database: Database.Database,
  isUnharmed: boolean,
): Promise<void> {
  const rows = database
    .prepare<[], RecordRow>(
      `SELECT upstream, name AS repository, kind, tag, digest FROM repositories JOIN (
         SELECT repository_id, 'tag' AS kind, name AS tag, digest FROM tags
         UNION ALL SELECT repository_id, 'manifest', NULL, digest FROM repository_manifests
         UNION ALL SELECT repository_id, 'blob', NULL, digest FROM repository_blobs
       ) ON repository_id = id`,
    )
    .all();
  const wanted = new Set(
    rows.map(({ upstream, repository: name, kind, tag, digest }) => {
      const repository = { upstream, name };
      return formatRecordPath(
        kind === 'tag' ? { kind, repository, tag } : { kind, repository, digest: decodeDigest(digest) },
      );
    }),
  );
  const entries = await readdir(join(mirror.dataDir, 'repositories'), {
    recursive: true,
    withFileTypes: true,
  });
  const root = join(mirror.dataDir, 'repositories');
  const records = entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  for (const path of wanted) {
    if (!records.includes(path)) findings.add('a row has no record', path);
  }
  const orphans = records.filter((path) => !wanted.has(path));
  tally.peak('most records without a row', orphans.length);
  if (isUnharmed && orphans.length > 0) findings.add('a record has no row', orphans);
}
