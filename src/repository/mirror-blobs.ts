/**
 * The blobs of one mirrored repository: from the cache, from a download that is under way, or by starting one. A blob
 * is given out only for a repository that upstream has shown to hold it, however many others do.
 */
import type { BlobContent, BlobStat, BlobStore } from '../blobs/blob-store.ts';
import { ContentMismatchError, SpoolFailedError } from '../blobs/spool.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import { SingleFlight } from '../lib/single-flight.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { UpstreamError, type Upstream } from '../upstream/upstream.ts';
import type { BlobLeases } from './blob-leases.ts';
import { ANSWER_MS, within } from './deadline.ts';
import type { Download } from './download.ts';
import type { Downloads } from './downloads.ts';
import type { Served, Source } from './repository.ts';
import { translating } from './upstream-failure.ts';

export interface MirrorBlobsPorts {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly downloads: Downloads;
  /** Notes that the blob, or the manifest and all that it reaches, was used. */
  readonly touch: (digest: Digest) => void;
  /** Waits for a write to the index; that it can't be made is our problem, not the client's. */
  readonly remember: (write: Promise<unknown>) => Promise<void>;
  /** A blob that the index promised is not there, or not whole. */
  readonly onLost: (digest: Digest) => void;
  /** Aborted when the process ends: work that serves several clients hangs on none of them. */
  readonly signal: AbortSignal;
}

type Size = { readonly size: number | undefined };

/** Whether a repository holds a blob can change while it is being found out; so often that it can't be settled, it does not. */
const MAX_ROUNDS = 5;

export class MirrorBlobs {
  readonly #ports: MirrorBlobsPorts;
  readonly #upstream: Upstream;
  readonly #confirmations = new SingleFlight<string, Size | undefined>();

  constructor(ports: MirrorBlobsPorts, upstream: Upstream) {
    this.#ports = ports;
    this.#upstream = upstream;
  }

  async stat(repository: RepositoryKey, digest: Digest): Promise<Served<Size>> {
    const { metadata, downloads, touch } = this.#ports;
    const known = await metadata.findBlob(repository, digest);
    if (known) {
      touch(digest);
      return { size: known.size, source: 'hit' };
    }
    const running = downloads.find(digest);
    if (running?.isFor(repository)) {
      const content = (await this.#started(running, repository)).open();
      await content.close();
      return { size: content.size, source: 'joined' };
    }
    const confirmed = await this.#confirm(repository, digest);
    using _lease = await this.#ports.leases.share(digest);
    const stored = await this.#adopt(repository, digest, confirmed);
    return stored ? { size: stored.size, source: 'revalidated' } : { size: confirmed.size, source: 'miss' };
  }

  async open(repository: RepositoryKey, digest: Digest): Promise<Served<{ readonly content: BlobContent }>> {
    const lease = await this.#ports.leases.share(digest);
    try {
      const { content, source } = await this.#find(repository, digest);
      const sendTo: BlobContent['sendTo'] = (sink, range) =>
        this.#translated(repository, digest, content.sendTo(sink, range));
      const close = async () => {
        lease[Symbol.dispose]();
        await content.close();
      };
      return { content: { size: content.size, sendTo, close }, source };
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  async #find(repository: RepositoryKey, digest: Digest): Promise<Served<{ content: BlobContent }>> {
    const { blobs, downloads } = this.#ports;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const joined = downloads.find(digest);
      if (joined?.isFor(repository)) return this.#follow(joined, repository, 'joined');

      const held = await this.#openHeld(repository, digest);
      if (held) return { content: held, source: 'hit' };

      const stored = await blobs.stat(digest);
      // Nothing is awaited between this look and the start of a download.
      const running = downloads.find(digest);
      if (!running && !stored) {
        return this.#follow(downloads.start(this.#upstream, repository, digest), repository, 'miss');
      }
      const confirmed = await this.#confirm(repository, digest);
      running?.admit(repository);
      const adopted = await this.#adopt(repository, digest, confirmed);
      const content = adopted && (await blobs.open(digest));
      if (content) return { content, source: 'revalidated' };
    }
    throw new RegistryError('UNAVAILABLE', 'the blob comes and goes; try again', { retryAfterSeconds: 1 });
  }

  /** What is stored, if it is, is the repository's too, for upstream has shown it to hold a blob of that digest. */
  async #adopt(repository: RepositoryKey, digest: Digest, { size }: Size): Promise<BlobStat | undefined> {
    const { metadata, blobs, remember } = this.#ports;
    const stored = await blobs.stat(digest);
    if (stored && size !== undefined && stored.size !== size) {
      await this.#forget(digest);
      return undefined;
    }
    if (stored) await remember(metadata.linkBlob(repository, stored));
    return stored;
  }

  /** The blob from the store, if this repository is known to hold it. */
  async #openHeld(repository: RepositoryKey, digest: Digest): Promise<BlobContent | undefined> {
    const { metadata, blobs, touch } = this.#ports;
    const record = await metadata.findBlob(repository, digest);
    if (!record) return undefined;
    const content = await blobs.open(digest);
    if (content?.size === record.size) {
      touch(digest);
      return content;
    }
    await content?.close();
    await this.#forget(digest);
    return undefined;
  }

  /** The disk does not have what it was to have: what is left of it goes, and it is fetched again. */
  async #forget(digest: Digest): Promise<void> {
    const { metadata, blobs, onLost } = this.#ports;
    onLost(digest);
    await blobs.delete(digest);
    await metadata.forgetBlob(digest);
  }

  async #follow(
    download: Download,
    repository: RepositoryKey,
    source: Source,
  ): Promise<Served<{ content: BlobContent }>> {
    const started = await this.#started(download, repository);
    return { content: started.open(), source };
  }

  async #started(download: Download, repository: RepositoryKey) {
    const started = await this.#translated(repository, download.digest, download.started);
    if (!started) throw unknownBlob(download.digest);
    return started;
  }

  /** Has upstream show, by a HEAD, that the repository holds the blob. */
  async #confirm(repository: RepositoryKey, digest: Digest): Promise<Size> {
    const { signal } = this.#ports;
    const found = await this.#translated(
      repository,
      digest,
      this.#confirmations.run(`${repository.name}@${digest}`, () =>
        within(ANSWER_MS, signal, (until) => this.#upstream.statBlob(repository.name, digest, until)),
      ),
    );
    if (!found) throw unknownBlob(digest);
    return found;
  }

  #translated<T>({ name }: RepositoryKey, digest: Digest, asked: Promise<T>): Promise<T> {
    return translating(`the blob ${name}@${digest}`, () => asked.catch(asUpstreamError));
  }
}

/** What broke a transfer may be upstream's doing, told by the spool file. */
function asUpstreamError(error: unknown): never {
  const reason = error instanceof SpoolFailedError ? error.cause : error;
  if (reason instanceof ContentMismatchError)
    throw new UpstreamError('protocol', reason.message, { cause: reason });
  throw reason instanceof UpstreamError ? reason : error;
}

function unknownBlob(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', 'the repository has no such blob', { detail: { digest } });
}
