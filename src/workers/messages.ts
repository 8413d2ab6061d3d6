/**
 * What the keeper and its workers say to each other: messages over the channel that a child process has to its parent,
 * and headers of the requests and answers on the keeper's socket. All of it is plain data.
 */
import type { SendfileMode } from '../config/config.ts';
import type { Refusal } from '../http/refusal.ts';
import type { Digest } from '../oci/digest.ts';
import type { Snapshot } from '../telemetry/metrics-merge.ts';

/** What a worker has to know. No credentials: it asks nobody but the keeper. */
export interface WorkerSettings {
  readonly id: number;
  readonly version: string;
  readonly keeper: KeeperAddress;
  /** The directory of the stored blobs. */
  readonly blobsDir: string;
  readonly tls: PemPair | undefined;
  /** How long a client may take nothing of its answer. */
  readonly timeoutMs: number;
  /** Of answers that are given again. */
  readonly memoryBytes: number;
  readonly sendfile: SendfileMode;
  readonly logLevel: string;
}

/** Where the keeper is, and what it knows its workers by. */
export interface KeeperAddress {
  readonly socketPath: string;
  readonly secret: string;
}

/** A certificate with its chain, and its key. */
export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

/** How a request that was passed on ended for its client. */
export interface Ending {
  readonly id: string;
  readonly method: string;
  readonly status: number;
  readonly bytes: number;
  readonly isAborted: boolean;
  readonly durationMs: number;
  /** When the head of the answer went out; none did without it. */
  readonly firstByteMs?: number | undefined;
  readonly client: string | undefined;
  readonly userAgent: string | undefined;
  /** What went wrong in the worker, if something did. */
  readonly failure?: string | undefined;
}

export type ToWorker =
  | { readonly kind: 'start'; readonly settings: WorkerSettings }
  /** With the connection itself. */
  | { readonly kind: 'connection' }
  /** What rests on these is no longer so; all without a list. */
  | { readonly kind: 'drop'; readonly keys: readonly string[] | undefined }
  /** New connections get that certificate. */
  | { readonly kind: 'tls'; readonly tls: PemPair }
  | { readonly kind: 'measure' }
  | { readonly kind: 'stop'; readonly graceMs: number };

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly reason: string }
  /** A connection is no more. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'ended'; readonly ending: Ending }
  | { readonly kind: 'used'; readonly digests: readonly Digest[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'measured'; readonly snapshot: Snapshot };

/** Of what is passed on, and never meant for a client. Clients' headers of these names are not passed on. */
export const PREFIX = 'x-entrepot-passed-';
export const HEADERS = {
  /** By which the keeper knows its workers. */
  secret: `${PREFIX}secret`,
  /** The request's own, which is the record's too. */
  id: `${PREFIX}id`,
  /** The worker that passes it on. */
  worker: `${PREFIX}worker`,
  /** The client's address. */
  client: `${PREFIX}client`,
  /** Of a request: the worker can send a stored blob itself. Of its answer: which bytes, `start-end`, in place of a body. */
  file: `${PREFIX}file`,
  /** Of a request: it asks for the rest of what an earlier one, of the same id, had begun to send. */
  rest: `${PREFIX}rest`,
  /** Of an answer: that it may be given again, and as long as what. */
  keep: `${PREFIX}keep`,
} as const;
