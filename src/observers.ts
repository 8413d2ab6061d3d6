/** What the parts report, as log lines and metrics. Kept out of them: none of them knows that it is counted. */
import type { Logger } from 'pino';
import type { RequestRecord } from './http/request-record.ts';
import type { EvictionReport } from './repository/cache-space.ts';
import type { DownloadEvent } from './repository/download.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { ExchangeEvent } from './upstream/transport.ts';

export class Observers {
  readonly #log: Logger;
  readonly #metrics: Metrics;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** One line a request. Nothing of its headers but the User-Agent goes in. */
  readonly request = (record: RequestRecord): void => {
    this.#metrics.countRequest(record);
    const { id, method, route, repository, reference, namespace, source, status, errorCode, bytes } = record;
    const target = repository === undefined ? route : [repository, reference].filter(Boolean).join(' ');
    const line = {
      requestId: id,
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
      client: record.client,
      userAgent: record.userAgent,
      ...(record.isAborted ? { aborted: true } : {}),
    };
    const text = `${method} ${target} ${status}${source ? ` ${source}` : ''}${record.isAborted ? ' aborted' : ''}`;
    const err = faultOf(record);
    if (err) this.#log.warn({ ...line, err }, text);
    else this.#log.info(line, text);
  };

  readonly download = (event: DownloadEvent): void => {
    switch (event.kind) {
      case 'fetched':
        this.#metrics.countFetched('blob', event.bytes);
        return;
      case 'retried':
        this.#metrics.countDownloadRetry();
        this.#log.warn(
          { digest: event.digest, offset: event.offset, err: event.cause },
          'a download is taken up again',
        );
        return;
      case 'ended':
        this.#metrics.countDownload(event.outcome);
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
    if (outcome === 'stored' || outcome === 'absent') this.#log.debug(line, `download ${outcome}`);
    else if (outcome === 'mismatch')
      this.#log.error({ ...line, err: cause }, 'upstream sent other bytes than the digest says');
    else this.#log.warn({ ...line, err: cause }, `download ${outcome}`);
  }

  readonly manifestFetched = (bytes: number): void => {
    this.#metrics.countFetched('manifest', bytes);
  };

  readonly upstreamExchange = (event: ExchangeEvent): void => {
    const { kind, method, status, failure } = event;
    this.#metrics.countUpstreamExchange({ kind, method, outcome: String(status ?? failure ?? 'none') });
    this.#log.debug(event, `upstream ${method} ${kind} ${status ?? failure ?? ''}`);
  };

  readonly evicted = (evicted: EvictionReport & { readonly oldestUsedAt: number }): void => {
    this.#metrics.countEvicted(evicted.blobs, evicted.bytes);
    const { oldestUsedAt, ...counts } = evicted;
    this.#log.info(
      { ...counts, oldestUse: new Date(oldestUsedAt).toISOString() },
      'evicted to stay within the bound',
    );
  };

  readonly notRemembered = (err: unknown): void => {
    this.#log.error({ err }, 'the index could not be written; what was asked for is served all the same');
  };

  readonly blobLost = (digest: string): void => {
    this.#metrics.countLostBlob();
    this.#log.error(
      { digest },
      'a blob of the index is missing or cut short on disk; it will be fetched again',
    );
  };
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
