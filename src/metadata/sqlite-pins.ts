/** The rows of pins, and what a pinned reference reaches. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import { formatReference, parseReference, type Reference, type RepositoryName } from '../oci/reference.ts';
import type { Pin } from './catalog-store.ts';
import type { RepositoryKey } from './metadata-store.ts';
import { decodeDigest, encodeDigest } from './sqlite-digest.ts';
import { REACHED_CONTENT } from './sqlite-reach.ts';
import type { SqliteTags } from './sqlite-tags.ts';

interface PinRow {
  readonly upstream: string;
  readonly repository: RepositoryName;
  readonly reference: string;
}

export interface ReachedContent {
  readonly digest: Digest;
  /** Bytes of it that are held by anybody: 0 where it is not. */
  readonly heldBytes: number;
}

export class SqlitePins {
  readonly #tags: SqliteTags;
  readonly #add: Statement<[string, string, string]>;
  readonly #remove: Statement<[string, string, string]>;
  readonly #find: Statement<[string, string, string], { known: number }>;
  readonly #page: Statement<[string, string, string, number], PinRow>;
  readonly #reach: Statement<[Buffer], { digest: Buffer; heldBytes: number }>;

  constructor(db: Database, tags: SqliteTags) {
    this.#tags = tags;
    this.#add = db.prepare('INSERT INTO pins VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
    this.#remove = db.prepare('DELETE FROM pins WHERE upstream = ? AND repository = ? AND reference = ?');
    this.#find = db.prepare(
      'SELECT 1 AS known FROM pins WHERE upstream = ? AND repository = ? AND reference = ?',
    );
    this.#page = db.prepare(`
      SELECT upstream, repository, reference FROM pins WHERE (upstream, repository, reference) > (?, ?, ?)
      ORDER BY upstream, repository, reference LIMIT ?`);
    this.#reach = db.prepare(REACHED_CONTENT);
  }

  /** Whether that is new. */
  add({ upstream, name }: RepositoryKey, reference: Reference): boolean {
    return this.#add.run(upstream, name, formatReference(reference)).changes > 0;
  }

  /** Whether it was there. */
  remove({ upstream, name }: RepositoryKey, reference: Reference): boolean {
    return this.#remove.run(upstream, name, formatReference(reference)).changes > 0;
  }

  has({ upstream, name }: RepositoryKey, reference: Reference): boolean {
    return this.#find.get(upstream, name, formatReference(reference)) !== undefined;
  }

  /** The next ones in order of upstream, repository and reference. */
  page(after: Pin | undefined, size: number): readonly Pin[] {
    const { upstream = '', name = '' } = after?.repository ?? {};
    const reference = after === undefined ? '' : formatReference(after.reference);
    return this.#page.all(upstream, name, reference, size).map((row) => ({
      repository: { upstream: row.upstream, name: row.repository },
      reference: parseReference(row.reference),
    }));
  }

  /** What the reference stands for now; undefined for a tag that is not known. */
  targetOf({ repository, reference }: Pin): Digest | undefined {
    if (reference.kind === 'digest') return reference.digest;
    return this.#tags.find(repository, reference.tag)?.descriptor.digest;
  }

  reachOf(pin: Pin): readonly ReachedContent[] {
    const target = this.targetOf(pin);
    return target === undefined ? [] : this.#reachOf(target);
  }

  /** Itself and all that it needs, held or not. */
  #reachOf(digest: Digest): readonly ReachedContent[] {
    return this.#reach
      .all(encodeDigest(digest))
      .map((row) => ({ digest: decodeDigest(row.digest), heldBytes: row.heldBytes }));
  }
}
