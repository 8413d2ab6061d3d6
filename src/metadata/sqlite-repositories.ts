/** The rows of repositories, to which everything that a repository holds is linked. They are few, and stay. */
import type { Database, Statement } from 'better-sqlite3';
import type { RepositoryName } from '../oci/reference.ts';
import type { RepositoryKey } from './metadata-store.ts';

/** How a `DELETE ... RETURNING` on a table with a `repository_id` tells which repository it was. */
export const RETURNING_REPOSITORY = `
  (SELECT upstream FROM repositories WHERE id = repository_id) AS upstream,
  (SELECT name FROM repositories WHERE id = repository_id) AS repository`;

export interface RepositoryRow {
  readonly upstream: string;
  readonly repository: RepositoryName;
}

/** One that holds nothing any more is still there. */
interface ListedRepositoryRow {
  readonly name: RepositoryName;
  readonly isHolding: number;
}

export function keyOf(row: RepositoryRow): RepositoryKey {
  return { upstream: row.upstream, name: row.repository };
}

export class SqliteRepositories {
  readonly #find: Statement<[string, string], { id: number }>;
  readonly #add: Statement<[string, string], { id: number }>;
  readonly #page: Statement<[string, string, number], ListedRepositoryRow>;

  constructor(db: Database) {
    this.#find = db.prepare('SELECT id FROM repositories WHERE upstream = ? AND name = ?');
    this.#add = db.prepare('INSERT INTO repositories (upstream, name) VALUES (?, ?) RETURNING id');
    this.#page = db.prepare(`
      SELECT name, EXISTS (SELECT 1 FROM repository_manifests WHERE repository_id = id)
          OR EXISTS (SELECT 1 FROM repository_blobs WHERE repository_id = id) AS isHolding
      FROM repositories WHERE upstream = ? AND name > ?
      ORDER BY name LIMIT ?`);
  }

  /** For a row that is about to be linked to it; called inside that row's transaction. */
  idOf(repository: RepositoryKey): number {
    const { upstream, name } = repository;
    const id = this.findId(repository) ?? this.#add.get(upstream, name)?.id;
    if (id === undefined) throw new Error(`the index gave no row to the repository ${name}`);
    return id;
  }

  findId({ upstream, name }: RepositoryKey): number | undefined {
    return this.#find.get(upstream, name)?.id;
  }

  /** The next ones in lexical order, those that hold nothing among them. */
  page(upstream: string, after: string | undefined, size: number): readonly ListedRepositoryRow[] {
    return this.#page.all(upstream, after ?? '', size);
  }
}
