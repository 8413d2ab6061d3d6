/**
 * The blobs of one mirrored repository: from the cache, from a download that is under way, or by starting one. A blob
 * is given out only for a repository that upstream has shown to hold it, however many others do.
 */
import type { BlobContent, BlobStat } from '../blobs/blob-store.ts';
import { SingleFlight, untilAborted } from '../lib/single-flight.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { UpstreamError, type Upstream } from '../upstream/upstream.ts';
import type { Ask } from './ask.ts';
import type { BlobLeases } from './blob-leases.ts';
import { ANSWER_MS, within } from './deadline.ts';
import type { Download } from './download.ts';
import type { Downloads } from './downloads.ts';
import { whileHeld } from './freshness.ts';
import { MendingContent } from './mending-content.ts';
import { asTooMany } from './passing.ts';
import type { Requester, Served, Source } from './repository.ts';
import { StoredBlobs, type StoredBlobsPorts } from './stored-blobs.ts';
import { asUpstreamError, translating } from './upstream-failure.ts';

export interface MirrorBlobsPorts extends StoredBlobsPorts {
  readonly leases: BlobLeases;
  readonly downloads: Downloads;
  readonly ask: Ask;
  /** Notes that the blob, or the manifest and all that it reaches, was used. */
  readonly touch: (digest: Digest) => void;
}

type Size = { readonly size: number | undefined };
type Found = Served<{ readonly content: BlobContent }>;

/** What is done for one client that wants a blob. */
interface Pull {
  readonly repository: RepositoryKey;
  readonly requester: Requester;
  /** When upstream has to have answered, by `performance.now()`. */
  readonly until: number;
}

/** Whether a repository holds a blob can change while it is being found out; so often that it can't be settled, it does not. */
const MAX_ROUNDS = 5;

export class MirrorBlobs {
  readonly #ports: MirrorBlobsPorts;
  readonly #upstream: Upstream;
  readonly #stored: StoredBlobs;
  readonly #confirmations = new SingleFlight<string, Size | undefined>();

  constructor(ports: MirrorBlobsPorts, upstream: Upstream) {
    this.#ports = ports;
    this.#upstream = upstream;
    this.#stored = new StoredBlobs(ports);
  }

  async stat(repository: RepositoryKey, digest: Digest): Promise<Served<Size>> {
    const { metadata, downloads, touch } = this.#ports;
    const known = await metadata.findBlob(repository, digest);
    if (known) {
      touch(digest);
      return { size: known.size, source: 'hit', validity: whileHeld(digest) };
    }
    const running = downloads.find(digest);
    if (running?.isFor(repository) && running.size !== undefined)
      return { size: running.size, source: 'joined' };
    const confirmed = await this.#confirm(repository, digest);
    using _lease = await this.#ports.leases.share(digest);
    const stored = await this.#translated(repository, digest, this.#adopt(repository, digest, confirmed));
    return stored ? { size: stored.size, source: 'revalidated' } : { size: confirmed.size, source: 'miss' };
  }

  async open(repository: RepositoryKey, digest: Digest, requester: Requester): Promise<Found> {
    await using opening = new AsyncDisposableStack();
    opening.use(await this.#ports.leases.share(digest));
    const { content, ...served } = await this.#find(repository, digest, requester);
    const mending = new MendingContent(content, async (cause) => {
      await this.#stored.forget(digest, cause);
      return (await this.#find(repository, digest, requester)).content;
    });
    opening.defer(() => mending.close());
    const open = opening.move();
    return {
      content: {
        size: content.size,
        bytes: content.bytes,
        sendTo: (sink, range) => this.#translated(repository, digest, mending.sendTo(sink, range)),
        close: () => open.disposeAsync(),
      },
      ...served,
    };
  }

  async #find(repository: RepositoryKey, digest: Digest, requester: Requester): Promise<Found> {
    const { downloads } = this.#ports;
    const pull: Pull = { repository, requester, until: performance.now() + ANSWER_MS };
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const joined = downloads.find(digest);
      if (joined?.isFor(repository)) {
        const found = await this.#follow(joined, pull, 'joined');
        if (found) return found;
        continue;
      }

      const held = await this.#openHeld(repository, digest);
      if (held) return { content: held, source: 'hit', validity: held.bytes && whileHeld(digest) };

      const stored = await this.#stored.stat(digest);
      // Nothing is awaited between this look and the start of a download.
      const running = downloads.find(digest);
      // Another client has begun it meanwhile: it is joined, and nobody has to be asked.
      if (running?.isFor(repository)) continue;
      if (!running && !stored) {
        const order = { upstream: this.#upstream, repository, digest, client: requester.client };
        const found = await this.#follow(downloads.start(order), pull, 'miss');
        if (found) return found;
        continue;
      }
      const confirmed = await this.#confirm(repository, digest);
      running?.admit(repository);
      const adopted = await this.#translated(repository, digest, this.#adopt(repository, digest, confirmed));
      const content = adopted && (await this.#stored.open(digest));
      if (content) return { content, source: 'revalidated' };
    }
    throw new RegistryError('UNAVAILABLE', 'the blob comes and goes; try again', { retryAfterSeconds: 1 });
  }

  /** What is stored, if it is, is the repository's too, for upstream has shown it to hold a blob of that digest. */
  async #adopt(repository: RepositoryKey, digest: Digest, { size }: Size): Promise<BlobStat | undefined> {
    const stored = await this.#stored.stat(digest);
    if (stored && size !== undefined && stored.size !== size) {
      // One of the two sizes is wrong, and an upstream that lies must not cost others what they have here.
      if (await this.#stored.isWhole(digest)) {
        throw new UpstreamError('protocol', `upstream says ${size} bytes of a blob that has ${stored.size}`);
      }
      await this.#stored.forget(digest);
      return undefined;
    }
    if (stored) await this.#ports.metadata.linkBlob(repository, stored);
    return stored;
  }

  /** The blob from the store, if this repository is known to hold it. */
  async #openHeld(repository: RepositoryKey, digest: Digest): Promise<BlobContent | undefined> {
    const { metadata, touch } = this.#ports;
    const record = await metadata.findBlob(repository, digest);
    if (!record) return undefined;
    const content = await this.#stored.open(digest);
    if (content?.size === record.size) {
      touch(digest);
      return content;
    }
    await content?.close();
    await this.#stored.forget(digest);
    return undefined;
  }

  /** `undefined` where it fails for a reason of the repository that it was begun for, which is another. */
  async #follow(download: Download, pull: Pull, source: Source): Promise<Found | undefined> {
    const wish = download.want();
    try {
      const content = await this.#started(download, pull);
      if (!content) {
        wish[Symbol.dispose]();
        return undefined;
      }
      const close = async () => {
        wish[Symbol.dispose]();
        await content.close();
      };
      return { content: { size: content.size, sendTo: content.sendTo.bind(content), close }, source };
    } catch (error) {
      wish[Symbol.dispose]();
      throw error;
    }
  }

  async #started(download: Download, { repository, requester, until }: Pull) {
    const { client, left } = requester;
    const isAskedOfAnother = !download.isAskedOf(repository);
    const opened = within(Math.max(0, until - performance.now()), left, async (signal) => {
      const started = await untilAborted(download.started, signal);
      if (!started && !isAskedOfAnother) throw unknownBlob(download.digest);
      return started?.open(client, signal);
    });
    return this.#translated(
      repository,
      download.digest,
      opened.catch((error: unknown) => {
        if (left.aborted) throw error;
        if (download.isQueued) asTooMany(error);
        if (isAskedOfAnother && download.isOver && performance.now() < until) return undefined;
        throw error;
      }),
    );
  }

  /** Has upstream show, by a HEAD, that the repository holds the blob. */
  async #confirm(repository: RepositoryKey, digest: Digest): Promise<Size> {
    const found = await this.#translated(
      repository,
      digest,
      this.#confirmations.run(`${repository.name}@${digest}`, () =>
        this.#ports.ask('blob', (until) => this.#upstream.statBlob(repository.name, digest, until)),
      ),
    );
    if (!found) throw unknownBlob(digest);
    return found;
  }

  #translated<T>({ name }: RepositoryKey, digest: Digest, asked: Promise<T>): Promise<T> {
    return translating(`the blob ${name}@${digest}`, () => asked.catch(asUpstreamError));
  }
}

function unknownBlob(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', 'the repository has no such blob', { detail: { digest } });
}
