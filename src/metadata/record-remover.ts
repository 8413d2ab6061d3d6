/** Removes the records of rows that are gone, unless the rows have come back meanwhile. */
import type { RecordAddress, RecordKeeper } from './record.ts';
import type { SqliteIndex } from './sqlite-index.ts';

export class RecordRemover {
  readonly #index: SqliteIndex;
  readonly #records: RecordKeeper;

  constructor(index: SqliteIndex, records: RecordKeeper) {
    this.#index = index;
    this.#records = records;
  }

  async remove(addresses: readonly RecordAddress[]): Promise<void> {
    for (const address of addresses) await this.#records.remove(address, () => this.#isHeld(address));
  }

  #isHeld(address: RecordAddress): boolean {
    const { repository } = address;
    return this.#index.read(({ tags, manifests, blobs, pins }) => {
      switch (address.kind) {
        case 'tag':
          return tags.find(repository, address.tag) !== undefined;
        case 'manifest':
          return manifests.find(repository, address.digest) !== undefined;
        case 'blob':
          return blobs.find(repository, address.digest) !== undefined;
        case 'pin':
          return pins.has(repository, address.reference);
      }
    });
  }
}
