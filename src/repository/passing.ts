/**
 * The way past the cache, for those who want one blob that is not kept: each gets an answer of upstream of its own. They
 * last for as long as their clients take, so they have only a share of the places.
 */
import type { BlobContent } from '../blobs/blob-store.ts';
import type { Prefix } from '../blobs/spool.ts';
import type { FairQueue } from '../lib/fair-queue.ts';
import { RegistryError } from '../oci/errors.ts';
import { UpstreamError, type UpstreamBlob } from '../upstream/upstream.ts';
import type { BlobSource } from './blob-source.ts';
import { PassThrough, type UnreadAnswer } from './pass-through.ts';
import { FOR_AN_ANSWER } from './persist.ts';

export interface PassingPorts {
  /** Of what runs at once: each client in its turn. */
  readonly places: FairQueue;
  /** Of those, what may go to blobs that are not kept. */
  readonly passingPlaces: FairQueue;
}

/** When a client may come again that found too many before it. */
const QUEUE_RETRY_SECONDS = 5;

export class Passing {
  readonly #ports: PassingPorts;
  readonly #source: BlobSource;
  #unread: UnreadAnswer | undefined;

  constructor(ports: PassingPorts, source: BlobSource) {
    this.#ports = ports;
    this.#source = source;
  }

  /** Keeps an answer, and what is held for it, for the first who comes, if one more may pass now. */
  keep(blob: UpstreamBlob, held: DisposableStack): void {
    // Whoever comes needs the beginning too, of which an earlier download may have left something here.
    const place = blob.offset === 0 ? this.#ports.passingPlaces.tryEnter() : undefined;
    if (!place) return;
    held.use(place);
    this.#unread = { blob, held: held.move() };
  }

  /** Nobody comes any more. */
  letGo(): void {
    this.#unread?.held[Symbol.dispose]();
    this.#unread = undefined;
  }

  /** Resolves when upstream has begun to answer. @param signal aborted when the client waits no longer */
  async open(size: number | undefined, client: string, signal: AbortSignal): Promise<BlobContent> {
    const kept = this.#unread;
    this.#unread = undefined;
    const begun = kept ?? (await this.#ask(client, signal));
    return new PassThrough({ source: this.#source, size, begun, enter: this.#enterFor(client) });
  }

  /** For a client that has the beginning already. */
  goOn(size: number | undefined, prefix: Prefix, client: string): BlobContent {
    return new PassThrough({ source: this.#source, size, prefix, enter: this.#enterFor(client) });
  }

  async #ask(client: string, signal: AbortSignal): Promise<UnreadAnswer> {
    using held = new DisposableStack();
    held.use(await this.#enterFor(client)(signal).catch(asTooMany));
    const ask = () => this.#source.fetch(0, signal);
    const blob = await this.#source.persist(ask, FOR_AN_ANSWER, signal);
    if (!blob) throw new UpstreamError('unreachable', 'upstream no longer has the blob');
    held.defer(() => void blob.body.destroy());
    return { blob, held: held.move() };
  }

  #enterFor(client: string): (signal: AbortSignal) => Promise<Disposable> {
    const { passingPlaces, places } = this.#ports;
    return async (signal) => {
      using entered = new DisposableStack();
      // In this order: who holds one of the places never waits for another.
      entered.use(await passingPlaces.enter(client, signal));
      entered.use(await places.enter(client, signal));
      return entered.move();
    };
  }
}

/** For whom the time was up before it was their turn: that says nothing of upstream. */
export function asTooMany(cause: unknown): never {
  if (!(cause instanceof UpstreamError)) throw cause;
  throw new RegistryError('UNAVAILABLE', 'too many downloads are waiting before this one; try again', {
    ...{ cause, retryAfterSeconds: QUEUE_RETRY_SECONDS },
  });
}
