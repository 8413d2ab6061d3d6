/** The table of what is on its way in: at most one download for each digest, however many ask. */
import type { Digest } from '../oci/digest.ts';
import type { BlobLeases } from './blob-leases.ts';
import type { DownloadOrder } from './blob-source.ts';
import { Download, type DownloadPorts, type DownloadProgress } from './download.ts';

export class Downloads {
  readonly #ports: DownloadPorts;
  readonly #leases: BlobLeases;
  readonly #running = new Map<Digest, Download>();
  /** Of the end that has begun. */
  #grace: AbortSignal | undefined;

  constructor(ports: DownloadPorts, leases: BlobLeases) {
    this.#ports = ports;
    this.#leases = leases;
  }

  get count(): number {
    return this.#running.size;
  }

  /** Those that others may still join, in the order in which they began. */
  list(): readonly DownloadProgress[] {
    return [...this.#running.values()].flatMap((download) => download.progress ?? []);
  }

  find(digest: Digest): Download | undefined {
    const download = this.#running.get(digest);
    return download?.isOver ? undefined : download;
  }

  /** Only for a digest that `find` does not know, with nothing awaited in between. */
  start(order: DownloadOrder): Download {
    const predecessor = this.#running.get(order.digest)?.settled;
    const download = new Download(this.#ports, order, predecessor);
    this.#running.set(order.digest, download);
    if (this.#grace?.aborted) download.abort();
    void this.#finish(download);
    return download;
  }

  async #finish(download: Download): Promise<void> {
    using _lease = await this.#leases.share(download.digest);
    await download.settled;
    if (this.#running.get(download.digest) === download) this.#running.delete(download.digest);
  }

  /** Waits for what runs until the signal aborts, then ends it; resolves when nothing is left. */
  async close(grace: AbortSignal): Promise<void> {
    this.#grace = grace;
    const abortAll = () => {
      for (const download of this.#running.values()) download.abort();
    };
    grace.addEventListener('abort', abortAll);
    if (grace.aborted) abortAll();
    while (this.#running.size > 0) {
      await Promise.all([...this.#running.values()].map((download) => download.settled));
    }
    grace.removeEventListener('abort', abortAll);
  }
}
