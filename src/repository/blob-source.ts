/** One blob at upstream, to be fetched from any byte on, again where that failed and may not fail the next time. */
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Upstream, UpstreamBlob } from '../upstream/upstream.ts';
import { persist, type Patience } from './persist.ts';

/** What is to come in, and for whom at first. */
export interface DownloadOrder {
  readonly upstream: Upstream;
  readonly repository: RepositoryKey;
  readonly digest: Digest;
  /** Who takes a turn for it. */
  readonly client: string;
}

export type SourceEvent =
  | { readonly kind: 'fetched'; readonly bytes: number }
  | { readonly kind: 'retried'; readonly digest: Digest; readonly offset: number; readonly cause: Error };

export interface SourcePorts {
  readonly observe: (event: SourceEvent) => void;
  /** Resolves after that many milliseconds; rejects when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

export class BlobSource {
  readonly digest: Digest;
  readonly #ports: SourcePorts;
  readonly #order: DownloadOrder;
  #bytesFetched = 0;

  constructor(ports: SourcePorts, order: DownloadOrder) {
    this.digest = order.digest;
    this.#ports = ports;
    this.#order = order;
  }

  get bytesFetched(): number {
    return this.#bytesFetched;
  }

  /** `undefined` where upstream has no such blob. */
  async fetch(offset: number, signal: AbortSignal): Promise<UpstreamBlob | undefined> {
    const { upstream, repository } = this.#order;
    const blob = await upstream.fetchBlob(repository.name, this.digest, offset, signal);
    if (!blob || blob.size !== undefined || offset > 0) return blob;
    // Clients want a Content-Length; where the GET has none, the HEAD may.
    const stat = await upstream.statBlob(repository.name, this.digest, signal).catch(() => undefined);
    return { ...blob, size: stat?.size };
  }

  /** @param progress how many bytes of the blob there are: a try that brought some is not fruitless */
  persist<T>(
    attempt: () => Promise<T>,
    patience: Patience,
    signal: AbortSignal,
    progress: () => number = () => 0,
  ): Promise<T> {
    return persist(attempt, {
      ...{ patience, progress, signal },
      pause: (ms) => this.#ports.pause(ms, signal).catch(() => undefined),
      onRetry: (cause) =>
        this.#ports.observe({ kind: 'retried', digest: this.digest, offset: progress(), cause }),
    });
  }

  readonly countBytes = (bytes: number): void => {
    this.#bytesFetched += bytes;
    this.#ports.observe({ kind: 'fetched', bytes });
  };
}
