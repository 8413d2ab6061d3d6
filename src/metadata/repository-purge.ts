/**
 * Takes a reference, or everything, out of one repository: its rows in small transactions with turns of others in
 * between, from the top down, and their records. Wherever that is cut short, nothing is left that needs what went.
 */
import type { Digest } from '../oci/digest.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { BlobRecord, Purged, RepositoryKey } from './metadata-store.ts';
import { pagesOf } from './pages.ts';
import type { RecordRemover } from './record-remover.ts';
import type { RecordAddress } from './record.ts';
import type { SqliteIndex } from './sqlite-index.ts';
import type { SqlitePurge, Taken, TakenBlob, TakenManifest } from './sqlite-purge.ts';

/** Rows that go in one transaction. */
const AT_ONCE = { tags: 50, manifests: 8, blobs: 20 } as const;

export class RepositoryPurge {
  readonly #index: SqliteIndex;
  readonly #records: RecordRemover;
  readonly #repository: RepositoryKey;
  readonly #id: number;
  readonly #tags: Tag[] = [];
  readonly #manifests: Digest[] = [];
  #manifestBytes = 0;
  readonly #unheld = new Map<Digest, BlobRecord>();
  readonly #released = new Set<Digest>();

  /** @param id of the repository's row */
  constructor(index: SqliteIndex, records: RecordRemover, repository: RepositoryKey, id: number) {
    this.#index = index;
    this.#records = records;
    this.#repository = repository;
    this.#id = id;
  }

  async run(target: Reference | 'all'): Promise<Purged | undefined> {
    if (target === 'all') await this.#takeAll();
    else if (target.kind === 'tag') await this.#takeTag(target.tag);
    else await this.#takeDigest(target.digest);
    if (this.#tags.length === 0 && this.#released.size === 0) return undefined;
    return {
      tags: this.#tags,
      manifests: this.#manifests,
      manifestBytes: this.#manifestBytes,
      unheld: [...this.#unheld.values()],
      released: [...this.#released],
    };
  }

  async #takeTag(tag: Tag): Promise<void> {
    const digest = this.#index.write(({ purge }) => purge.takeTag(this.#id, tag));
    if (digest === undefined) return;
    await this.#noteTags([tag]);
    await this.#takeUnneeded([digest], []);
  }

  async #takeDigest(digest: Digest): Promise<void> {
    const { addresses, taken } = this.#index.write(({ tags, purge }) => ({
      addresses: tags.removePointingTo(digest, this.#repository),
      taken: purge.takeManifest(this.#id, digest),
    }));
    await this.#noteTags(addresses.flatMap((address) => (address.kind === 'tag' ? address.tag : [])));
    if (taken === undefined) return;
    await this.#noteManifests([taken]);
    await this.#takeUnneeded(taken.manifests, taken.blobs);
  }

  async #takeUnneeded(manifests: readonly Digest[], needed: readonly Digest[]): Promise<void> {
    const blobs = new Set(needed);
    const going = [...manifests];
    for (let digest = going.shift(); digest !== undefined; digest = going.shift()) {
      const manifest = digest;
      const taken = await this.#lookThrough<TakenManifest>((after) =>
        this.#index.write(({ purge }) => purge.takeUnneededManifest(this.#id, manifest, after)),
      );
      if (taken === undefined) continue;
      await this.#noteManifests([taken]);
      going.push(...taken.manifests);
      for (const blob of taken.blobs) blobs.add(blob);
    }
    for (const blob of blobs) {
      const taken = await this.#lookThrough<TakenBlob>((after) =>
        this.#index.write(({ purge }) => purge.takeUnneededBlob(this.#id, blob, after)),
      );
      if (taken) await this.#noteBlobs([taken]);
    }
  }

  /** Page after page by its key: what comes in meanwhile does not keep it from its end. */
  async #takeAll(): Promise<void> {
    const taking = <T>(take: (purge: SqlitePurge) => readonly T[]) =>
      this.#index.write(({ purge }) => take(purge));
    const tags = pagesOf<Tag>(AT_ONCE.tags, (last, size) =>
      taking((purge) => purge.takeTags(this.#id, last, size)),
    );
    for await (const page of tags) await this.#noteTags(page);
    const manifests = pagesOf<TakenManifest>(AT_ONCE.manifests, (last, size) =>
      taking((purge) => purge.takeManifests(this.#id, last?.digest, size)),
    );
    for await (const page of manifests) await this.#noteManifests(page);
    const blobs = pagesOf<TakenBlob>(AT_ONCE.blobs, (last, size) =>
      taking((purge) => purge.takeBlobs(this.#id, last?.digest, size)),
    );
    for await (const page of blobs) await this.#noteBlobs(page);
  }

  async #lookThrough<T>(look: (after: Digest | undefined) => Taken<T>): Promise<T | undefined> {
    for (let after: Digest | undefined; ;) {
      const result = look(after);
      await this.#index.pause();
      if ('taken' in result) return result.taken;
      after = result.next;
    }
  }

  async #noteTags(tags: readonly Tag[]): Promise<void> {
    this.#tags.push(...tags);
    await this.#removeRecords(tags.map((tag) => ({ kind: 'tag', repository: this.#repository, tag })));
  }

  async #noteManifests(manifests: readonly TakenManifest[]): Promise<void> {
    for (const { digest, freedBytes } of manifests) {
      this.#released.add(digest);
      if (freedBytes === undefined) continue;
      this.#manifests.push(digest);
      this.#manifestBytes += freedBytes;
    }
    await this.#removeRecords(manifests.map(({ digest }) => this.#held('manifest', digest)));
  }

  async #noteBlobs(blobs: readonly TakenBlob[]): Promise<void> {
    for (const { digest, unheld } of blobs) {
      this.#released.add(digest);
      if (unheld) this.#unheld.set(digest, unheld);
    }
    await this.#removeRecords(blobs.map(({ digest }) => this.#held('blob', digest)));
  }

  #held(kind: 'manifest' | 'blob', digest: Digest): RecordAddress {
    return { kind, repository: this.#repository, digest };
  }

  async #removeRecords(addresses: readonly RecordAddress[]): Promise<void> {
    await this.#records.remove(addresses);
    await this.#index.pause();
  }
}
