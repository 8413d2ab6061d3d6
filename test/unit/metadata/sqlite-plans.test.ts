import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { tablesOn } from '../../../src/metadata/sqlite-index.ts';
import { migrate } from '../../../src/metadata/sqlite-migrations.ts';

/** Every statement that the index prepares. */
function statements(db: Database.Database): string[] {
  const sources: string[] = [];
  const recording = new Proxy(db, {
    get: (target, property) => {
      if (property !== 'prepare') return Reflect.get(target, property) as unknown;
      return (sql: string) => {
        sources.push(sql);
        return target.prepare(sql);
      };
    },
  });
  tablesOn(recording);
  return sources;
}

function planOf(db: Database.Database, sql: string): string[] {
  const parameters = Array.from(sql.matchAll(/\?/g), () => null);
  const rows = db.prepare<null[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters);
  return rows.map((row) => row.detail);
}

/** A walk through a table, unless it goes along an index to a LIMIT or is over rows that the query made. */
function isScan(detail: string, sql: string): boolean {
  if (/^SCAN (reached|page|CONSTANT ROW)$/.test(detail)) return false;
  if (/^SCAN totals$/.test(detail)) return false;
  if (/^SCAN \w+ USING (COVERING )?INDEX/.test(detail) && sql.includes('LIMIT')) return false;
  return detail.startsWith('SCAN') || detail.includes('TEMP B-TREE');
}

describe('the statements of the index', () => {
  const db = new Database(':memory:');
  migrate(db);

  it('are all looked at', () => {
    expect(statements(db).length).toBeGreaterThan(60);
  });

  it.each(statements(db))('find their rows by an index: %s', (sql) => {
    expect(planOf(db, sql).filter((detail) => isScan(detail, sql))).toEqual([]);
  });

  it('find the tags that point to a manifest without a walk through all tags of its repository', () => {
    const removals = statements(db).filter((sql) => /DELETE FROM tags[^]*digest = \?/.test(sql));
    expect(removals).toHaveLength(2);
    for (const sql of removals) expect(planOf(db, sql)[0]).toMatch(/tags_by_digest \(digest=\?/);
  });

  it('would be found out if one walked through a table', () => {
    const walk = 'SELECT digest FROM blobs WHERE size > ? ORDER BY size';
    expect(planOf(db, walk).filter((detail) => isScan(detail, walk))).not.toEqual([]);
  });
});
