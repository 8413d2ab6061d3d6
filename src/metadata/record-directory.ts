/**
 * The records of the index as small files, from which lost rows can be written again. A manifest's, a tag's
 * and a blob's file is an OCI descriptor (image-spec v1.1, descriptor.md), the manifest's with its bytes in `data`;
 * a pin's is empty, for its place says it all.
 */
import { readFileSync } from 'node:fs';
import { mkdir, opendir, rename, rmdir, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { isDigest } from '../oci/digest.ts';
import { parseManifest, type Descriptor } from '../oci/manifest.ts';
import { formatRecordPath, parseRecordPath } from './record-path.ts';
import { addressOf, type IndexRecord, type RecordAddress, type RecordKeeper } from './record.ts';

const BLOB_TYPE = 'application/octet-stream';
const WRITE_ATTEMPTS = 5;

/** A file that is no whole record: torn by a power cut, changed by somebody, or not ours. */
export interface BrokenRecord {
  readonly kind: 'broken';
  readonly path: string;
  readonly reason: Error;
}

type FileContent = Descriptor & { readonly data?: string };

export class RecordDirectory implements RecordKeeper {
  readonly #root: string;
  readonly #onError: (error: Error) => void;
  /** The last work on each file that is being worked on. */
  readonly #working = new Map<string, Promise<void>>();

  /** @param onError is told of what can't be written or removed; nobody fails by it. */
  constructor(root: string, onError: (error: Error) => void) {
    this.#root = resolve(root);
    this.#onError = onError;
  }

  add(record: IndexRecord, commit: () => void): Promise<void> {
    const path = this.#pathOf(addressOf(record));
    return this.#alone(path, async () => {
      try {
        await write(path, contentOf(record));
      } catch (cause) {
        this.#onError(new Error(`the record ${path} can't be written`, { cause }));
      }
      commit();
    });
  }

  remove(address: RecordAddress, isHeld: () => boolean): Promise<void> {
    const path = this.#pathOf(address);
    return this.#alone(path, async () => {
      if (isHeld()) return;
      try {
        await unlink(path);
        for (let parent = dirname(path); parent !== this.#root; parent = dirname(parent)) await rmdir(parent);
      } catch (cause) {
        if (hasCode(cause, 'ENOENT') || hasCode(cause, 'ENOTEMPTY')) return;
        this.#onError(new Error(`the record ${path} can't be removed`, { cause }));
      }
    });
  }

  /** All that is there, verified, in no order; nothing is held but the record at hand. */
  async *list(): AsyncIterable<IndexRecord | BrokenRecord> {
    for await (const path of this.#files(this.#root)) {
      try {
        yield read(path, parseRecordPath(relative(this.#root, path).replaceAll(sep, '/')));
      } catch (cause) {
        yield { kind: 'broken', path, reason: new Error(`${path} is no whole record`, { cause }) };
      }
    }
  }

  #pathOf(address: RecordAddress): string {
    return join(this.#root, formatRecordPath(address));
  }

  /** Hidden files are ours while they are written, and left over where that was cut short. */
  async *#files(directory: string): AsyncIterable<string> {
    try {
      for await (const entry of await opendir(directory)) {
        const path = join(directory, entry.name);
        if (entry.isDirectory()) yield* this.#files(path);
        else if (!entry.name.startsWith('.')) yield path;
      }
    } catch (cause) {
      if (hasCode(cause, 'ENOENT')) return;
      this.#onError(new Error(`the records in ${directory} can't be listed`, { cause }));
    }
  }

  /** One after the other for each file: the order of the files' last writes is then that of the rows'. */
  #alone(path: string, work: () => Promise<void>): Promise<void> {
    const before = this.#working.get(path) ?? Promise.resolve();
    const done = before.then(work);
    const end = () => {
      if (this.#working.get(path) === settled) this.#working.delete(path);
    };
    const settled = done.then(end, end);
    this.#working.set(path, settled);
    return done;
  }
}

/** Not synced: a torn record fails its own check, and what it told is only fetched again. */
async function write(path: string, content: string): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.tmp`);
  for (let attempt = 1; ; attempt++) {
    try {
      if (attempt > 1) await mkdir(directory, { recursive: true });
      await writeFile(temporary, content);
      await rename(temporary, path);
      return;
    } catch (error) {
      // Not there yet, or emptied and removed since: `remove` takes the directories that it empties.
      if (!hasCode(error, 'ENOENT') || attempt === WRITE_ATTEMPTS) throw error;
    }
  }
}

function contentOf(record: IndexRecord): string {
  if (record.kind === 'pin') return '';
  if (record.kind === 'blob') return JSON.stringify({ mediaType: BLOB_TYPE, ...record.blob });
  if (record.kind === 'tag') return JSON.stringify(record.descriptor);
  const { descriptor, bytes } = record.manifest;
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return JSON.stringify({ ...descriptor, data });
}

/** At once, which takes 50 us and not 150: nobody is served while an index is made anew, of a million small files. */
function read(path: string, address: RecordAddress | undefined): IndexRecord {
  if (address === undefined) throw new Error('it is not where a record can be');
  if (address.kind === 'pin') return address;
  const { kind, repository } = address;
  const { data, ...descriptor } = parseContent(readFileSync(path, 'utf8'));
  if (kind === 'blob') {
    if (descriptor.digest !== address.digest) throw new Error('it is of another blob');
    return { kind, repository, blob: { digest: descriptor.digest, size: descriptor.size } };
  }
  if (kind === 'tag') return { kind, repository, tag: address.tag, descriptor };
  const bytes = Buffer.from(data ?? '', 'base64');
  return { kind, repository, manifest: parseManifest(bytes, descriptor.mediaType, address.digest) };
}

function parseContent(text: string): FileContent {
  const content = JSON.parse(text) as Partial<FileContent> | null;
  const { mediaType, digest, size, data } = content ?? {};
  if (
    typeof mediaType !== 'string' ||
    typeof digest !== 'string' ||
    !isDigest(digest) ||
    !Number.isSafeInteger(size) ||
    (data !== undefined && typeof data !== 'string')
  ) {
    throw new Error('it is no descriptor');
  }
  return { mediaType, digest, size: Number(size), ...(data === undefined ? {} : { data }) };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
