/** The port to someone else's registry. `undefined` means that upstream says it does not exist. */
import type { ByteSource } from '../lib/byte-source.ts';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ReferrerDescriptor } from '../oci/manifest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';

/**
 * - `offline`: the mirror asks nobody, because it is switched offline, shuts down, or nobody wants to know any more
 * - `denied`: upstream wants other credentials than ours, or hides that the repository does not exist
 * - `misconfigured`: our own credentials can't be read or are refused: that says nothing of what was asked for
 * - `rate-limited`: 429
 * - `unreachable`: no connection, a timeout, or 5xx: it may work again soon
 * - `protocol`: an answer that no registry may give, such as bytes that do not have the digest asked for
 */
export type UpstreamFailure =
  'offline' | 'denied' | 'misconfigured' | 'rate-limited' | 'unreachable' | 'protocol';

export class UpstreamError extends Error {
  readonly failure: UpstreamFailure;
  /** When to ask again; an `unreachable` that has it was not even tried, for upstream has not answered lately. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    failure: UpstreamFailure,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterSeconds?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UpstreamError';
    this.failure = failure;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** What a HEAD told; the manifest is there too where upstream gave no digest and a GET had to be spent. */
export interface Resolved {
  readonly descriptor: Descriptor;
  readonly manifest?: Manifest;
}

export interface UpstreamBlob {
  /** Bytes of the whole blob, where upstream said so. */
  readonly size: number | undefined;
  /** Where in the blob the body starts: the offset asked for, or 0 where upstream does not do ranges. */
  readonly offset: number;
  /** To be read to its end or destroyed; fails when the connection breaks or falls silent. */
  readonly body: ByteSource;
}

/** What the upstream's RateLimit headers said last (Docker Hub counts GETs of manifests, not HEADs). */
export interface RateLimit {
  readonly limit: number | undefined;
  readonly remaining: number | undefined;
  readonly windowSeconds: number | undefined;
  readonly seenAt: number;
}

/**
 * Whether a host of the upstream is being asked: `open` while it is left alone because it did not answer, `half-open`
 * while one request finds out whether it does again.
 */
export interface Circuit {
  /** With the port, where it is not the scheme's own. */
  readonly host: string;
  readonly state: 'closed' | 'half-open' | 'open';
}

/** Every method throws UpstreamError, or the signal's reason once that is aborted. */
export interface Upstream {
  /** A name for logs, metrics and keys; unique among the upstreams of a process, stable across restarts. */
  readonly name: string;
  readonly rateLimit: RateLimit | undefined;
  /** Of the hosts that were asked lately. */
  readonly circuits: readonly Circuit[];
  /** By HEAD, which costs no pull of Docker Hub's quota. */
  resolve(
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Resolved | undefined>;
  /** Verified: the bytes have the descriptor's digest and, for a reference by digest, that one. */
  fetchManifest(
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Manifest | undefined>;
  statBlob(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ readonly size: number | undefined } | undefined>;
  /** Not verified: that is for whoever reads the body. */
  fetchBlob(
    repository: RepositoryName,
    digest: Digest,
    offset: number,
    signal: AbortSignal,
  ): Promise<UpstreamBlob | undefined>;
  /** All tags, in upstream's order. */
  listTags(repository: RepositoryName, signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** All referrers, unfiltered; undefined where upstream has no referrers API (or says that it knows none). */
  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<readonly ReferrerDescriptor[] | undefined>;
  close(): Promise<void>;
}
