/** What the parts report, as log lines and metrics. Kept out of them: none of them knows that it is counted. */
import type { Logger } from 'pino';
import { ContentMismatchError, SpoolWriteError } from './blobs/spool.ts';
import type { Refusal } from './http/refusal.ts';
import type { RequestRecord } from './http/request-record.ts';
import type { CorruptBlob, ScrubProgress } from './jobs/scrub.ts';
import { Seldom } from './lib/seldom.ts';
import type { EvictionReport } from './repository/cache-space.ts';
import type { DownloadEvent } from './repository/download.ts';
import { StorageHealth, type StorageFault, type StoragePart } from './repository/storage-health.ts';
import type { FailureCause, Gone, Metrics } from './telemetry/metrics.ts';
import { ClientsSeen } from './telemetry/clients-seen.ts';
import type { CircuitChange } from './upstream/circuits.ts';
import type { ExchangeEvent } from './upstream/transport.ts';
import { UpstreamError } from './upstream/upstream.ts';

export class Observers {
  readonly #log: Logger;
  /** Nothing of a request's line can be secret; looking for what is would cost more than all the rest of it. */
  readonly #requestLog: Logger;
  readonly #metrics: Metrics;
  readonly #seldom: Seldom;
  readonly #now: () => number;
  /** How our own disk does, as what happens to the others shows it. */
  readonly storage: StorageHealth;
  readonly clients: ClientsSeen;

  constructor(log: Logger, metrics: Metrics, now: () => number) {
    this.#log = log;
    this.#requestLog = log.child({}, { redact: [] });
    this.#metrics = metrics;
    this.#seldom = new Seldom(now);
    this.clients = new ClientsSeen(now);
    this.#now = now;
    this.storage = new StorageHealth({ now, onChange: this.#storageChanged });
  }

  /** One line a request. Nothing of its headers but the User-Agent goes in. */
  readonly request = (record: RequestRecord): void => {
    this.#metrics.countRequest(record);
    this.clients.note(record.client, record.userAgent);
    const { id, method, route, repository, reference, namespace, source, status, errorCode, bytes } = record;
    const target = repository === undefined ? route : [repository, reference].filter(Boolean).join(' ');
    const line = {
      requestId: id,
      clientRequestId: record.clientRequestId,
      method,
      route,
      repository,
      reference,
      namespace,
      status,
      source,
      errorCode,
      bytes,
      durationMs: Math.round(record.durationMs * 10) / 10,
      ttfbMs: record.firstByteMs === undefined ? undefined : Math.round(record.firstByteMs * 10) / 10,
      client: record.client,
      userAgent: record.userAgent,
      ...(record.isAborted ? { aborted: true } : {}),
    };
    const text = `${method} ${target} ${status}${source ? ` ${source}` : ''}${record.isAborted ? ' aborted' : ''}`;
    const err = faultOf(record);
    // That a host is left alone was said when it began.
    if (err && wasNotAsked(record.staleBecause))
      this.#requestLog.info({ ...line, staleBecause: err.message }, text);
    else if (err) this.#requestLog.warn({ ...line, err }, text);
    else this.#requestLog.info(line, text);
  };

  readonly download = (event: DownloadEvent): void => {
    switch (event.kind) {
      case 'fetched':
        this.#metrics.countFetched('blob', event.bytes);
        return;
      case 'resumed':
        this.#metrics.countResumed();
        this.#log.info(
          { digest: event.digest, offset: event.offset },
          'a download goes on where an earlier one broke off',
        );
        return;
      case 'retried':
        this.#metrics.countDownloadRetry();
        this.#log.warn(
          { digest: event.digest, offset: event.offset, err: event.cause },
          'a download is taken up again',
        );
        return;
      case 'ended':
        this.#metrics.countDownload(event.outcome, failureCauseOf(event));
        this.#downloadEnded(event);
    }
  };

  #downloadEnded({
    outcome,
    repository,
    digest,
    bytes,
    durationMs,
    cause,
  }: DownloadEvent & { kind: 'ended' }): void {
    const line = {
      outcome,
      upstream: repository.upstream,
      repository: repository.name,
      digest,
      bytes,
      durationMs: Math.round(durationMs),
    };
    const spoolFailure = spoolFailureIn(cause);
    if (spoolFailure) this.storageFailed('spool', spoolFailure);
    else if (outcome === 'stored') this.storage.succeeded('spool');
    if (isUpstreamsLie(cause)) this.#metrics.countRejected('blob');
    if (outcome === 'uncached') this.#log.info({ ...line, reason: cause?.message }, `download ${outcome}`);
    else if (outcome !== 'mismatch' && outcome !== 'failed') this.#log.debug(line, `download ${outcome}`);
    else if (outcome === 'mismatch')
      this.#log.error({ ...line, err: cause }, 'upstream sent other bytes than the digest says');
    else this.#log.warn({ ...line, err: cause }, `download ${outcome}`);
  }

  readonly manifestFetched = (bytes: number): void => {
    this.#metrics.countFetched('manifest', bytes);
  };

  readonly upstreamExchange = (event: ExchangeEvent): void => {
    const { kind, method, status, failure } = event;
    this.#metrics.countUpstreamExchange(event);
    this.#log.debug(event, `upstream ${method} ${kind} ${status ?? failure ?? ''}`);
  };

  readonly evicted = (evicted: EvictionReport & { readonly oldestUsedAt: number }): void => {
    const { oldestUsedAt, ...counts } = evicted;
    this.#metrics.countEvicted(counts, this.#now() - oldestUsedAt);
    this.#log.info(
      { ...counts, oldestUse: new Date(oldestUsedAt).toISOString() },
      'evicted to stay within the bound',
    );
  };

  /** Asked for by whoever runs the mirror. */
  readonly purged = (what: string, purged: Gone): void => {
    this.#metrics.countPurged(purged);
    const { blobs, manifests, bytes } = purged;
    this.#log.info({ blobs, manifests, bytes }, `${what} was purged`);
  };

  /** An answer of upstream that no registry may give. Its request's line has the reason. */
  readonly rejected = (kind: string): void => {
    this.#metrics.countRejected(kind);
  };

  readonly circuit = (upstream: string, { host, state, cause, openForMs = 0 }: CircuitChange): void => {
    if (state === 'open') {
      const seconds = Math.round(openForMs / 1000);
      const line = { upstream, host, seconds, err: cause };
      this.#log.warn(line, `${host} does not answer; it is left alone for ${seconds} s`);
    } else if (state === 'closed') this.#log.info({ upstream, host }, `${host} answers again`);
  };

  readonly blobLost = (digest: string, err?: Error): void => {
    this.#metrics.countLostBlob();
    this.#log.error(
      { digest, err },
      'a blob of the index is missing, cut short or unreadable on disk; it is fetched again',
    );
  };

  readonly blobCorrupt = (blob: CorruptBlob): void => {
    this.#metrics.countCorruptBlob();
    const err = blob.kind === 'unreadable' ? blob.cause : undefined;
    this.#log.error(
      { ...blob, cause: undefined, err },
      `a stored blob is corrupt (${blob.kind}); it will be fetched again`,
    );
  };

  readonly scrubbed = (progress: ScrubProgress): void => {
    this.#log.info(progress, 'every stored blob was read again');
  };

  readonly workerReplaced = (): void => {
    this.#metrics.countWorkerRestart();
  };

  /** The storage failed a pull, which goes on without it. */
  readonly storageFailed = (part: StoragePart, error: unknown): void => {
    this.#metrics.countStorageError(part);
    this.storage.failed(part, error);
  };

  readonly #storageChanged = (part: StoragePart, fault: StorageFault | undefined, err?: Error): void => {
    if (fault) this.#log.error({ part, reason: fault.reason, err }, `the ${part} fails: ${fault.reason}`);
    else this.#log.info({ part }, `the ${part} works again`);
  };

  /** A client that never got as far as the registry. A flood of them is counted, and no flood of lines. */
  readonly refused = (refusal: Refusal): void => {
    const { reason } = refusal;
    this.#metrics.countRefused(reason);
    const skipped = this.#seldom.take(reason);
    if (skipped !== undefined) this.#log.warn({ ...refusal, skipped }, `a client was refused: ${reason}`);
  };
}

function wasNotAsked(error: Error | undefined): boolean {
  if (!(error instanceof UpstreamError)) return false;
  return error.failure === 'offline' || error.retryAfterSeconds !== undefined;
}

/** What a download shows of our disk. */
function spoolFailureIn(cause: Error | undefined): Error | undefined {
  const isSystems = cause !== undefined && 'syscall' in cause;
  return cause instanceof SpoolWriteError || isSystems ? cause : undefined;
}

/** Of one that came to no good end. */
function failureCauseOf({ outcome, cause }: DownloadEvent & { kind: 'ended' }): FailureCause | undefined {
  if (outcome === 'aborted' || outcome === 'abandoned') return 'aborted';
  if (outcome === 'mismatch') return 'mismatch';
  if (outcome !== 'failed') return undefined;
  if (cause instanceof UpstreamError) return cause.failure;
  return spoolFailureIn(cause) ? 'storage' : 'other';
}

function isUpstreamsLie(cause: Error | undefined): boolean {
  return (
    cause instanceof ContentMismatchError || (cause instanceof UpstreamError && cause.failure === 'protocol')
  );
}

/**
 * What went wrong on our side or upstream's, which wants its reason in the log: why an answer is stale or refused. Not
 * that a client asked for what does not exist, or left.
 */
function faultOf({ error, staleBecause, status }: RequestRecord): Error | undefined {
  if (error === undefined) return staleBecause;
  if (error.name === 'SinkClosedError') return undefined;
  const isRefusal = status >= 400 && status < 500 && error.cause === undefined;
  return isRefusal ? undefined : error;
}
