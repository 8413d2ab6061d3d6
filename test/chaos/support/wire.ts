/** One request on the wire, whose body is held against the right bytes as it comes, at whatever pace the client has. */
import { request as send, type Agent, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';

export interface WireRequest {
  readonly method: 'GET' | 'HEAD';
  readonly headers: OutgoingHttpHeaders;
  readonly agent: Agent;
  /** What the body of a 200 has to be, or of a 206 be a part of; without it the body is kept. */
  readonly content?: Uint8Array | undefined;
  /** Leaves, as on Ctrl-C, after so many bytes of the body; -1 as soon as it has asked. */
  readonly leaveAfterBytes?: number | undefined;
  /** Reads so slowly, in bytes a second, for the first of its bytes. */
  readonly slowly?: { readonly bytes: number; readonly bytesPerSecond: number } | undefined;
}

export interface Answer {
  /** Of `performance.now()`. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Undefined where there was none: `failure` says why, unless the client has left. */
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  /** Of the body. */
  readonly received: number;
  /** The first byte of the content that was wrong, counted from its beginning. */
  readonly firstWrong: number | undefined;
  /** The body, where it is no content. */
  readonly body: Buffer;
  readonly isComplete: boolean;
  readonly hasLeft: boolean;
  /** Of the connection. */
  readonly failure: string | undefined;
  /** Nothing came for longer than any deadline of the mirror. */
  readonly isHung: boolean;
}

/** The mirror gives an answer, or a byte, or an end within 25 s, and containerd waits for 30 s. */
const SILENCE_MS = 60_000;

/** Resolves when it is over, however that is. */
export async function exchange(url: string, wanted: WireRequest): Promise<Answer> {
  const startedAt = performance.now();
  const outgoing = send(url, { method: wanted.method, headers: wanted.headers, agent: wanted.agent });
  const reception = new Reception(wanted, () => outgoing.destroy());
  const ended = new Promise<void>((resolve) => {
    outgoing.once('close', resolve);
    outgoing.on('error', (error) => reception.fail(error));
    outgoing.on('response', (message) => reception.begin(message));
  });
  outgoing.end();
  if (wanted.leaveAfterBytes === -1) reception.leave();
  await ended;
  return { startedAt, endedAt: performance.now(), ...reception.end() };
}

class Reception {
  readonly #wanted: WireRequest;
  readonly #destroy: () => void;
  readonly #kept: Buffer[] = [];
  #silence: NodeJS.Timeout;
  #pace: NodeJS.Timeout | undefined;
  #message: IncomingMessage | undefined;
  #start = 0;
  #received = 0;
  #firstWrong: number | undefined;
  #failure: string | undefined;
  #hasLeft = false;
  #isHung = false;

  constructor(wanted: WireRequest, destroy: () => void) {
    this.#wanted = wanted;
    this.#destroy = destroy;
    this.#silence = setTimeout(() => this.#hang(), SILENCE_MS);
  }

  begin(message: IncomingMessage): void {
    this.#message = message;
    this.#start = Number(/^bytes (\d+)-/.exec(message.headers['content-range'] ?? '')?.[1] ?? 0);
    message.on('error', (error) => this.fail(error));
    message.on('data', (chunk: Buffer) => this.#take(chunk, message));
    if (this.#wanted.leaveAfterBytes === 0) this.leave();
  }

  fail(error: Error): void {
    this.#failure ??= error.message || (error as NodeJS.ErrnoException).code || error.name;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#destroy();
  }

  end(): Omit<Answer, 'startedAt' | 'endedAt'> {
    clearTimeout(this.#silence);
    clearTimeout(this.#pace);
    return {
      status: this.#message?.statusCode,
      headers: this.#message?.headers ?? {},
      received: this.#received,
      firstWrong: this.#firstWrong,
      body: Buffer.concat(this.#kept),
      // What the parser has seen to its end may still be lost on its way to us, where the connection broke then.
      isComplete: this.#message?.complete === true && this.#message.readableEnded,
      hasLeft: this.#hasLeft,
      failure: this.#failure,
      isHung: this.#isHung,
    };
  }

  #take(chunk: Buffer, message: IncomingMessage): void {
    this.#silence.refresh();
    const { content, leaveAfterBytes, slowly } = this.#wanted;
    const isContent = content !== undefined && (message.statusCode === 200 || message.statusCode === 206);
    if (isContent) this.#compare(chunk, content);
    else this.#kept.push(chunk);
    this.#received += chunk.length;
    if (leaveAfterBytes !== undefined && this.#received > leaveAfterBytes) {
      this.leave();
    } else if (slowly && this.#received < slowly.bytes) {
      message.pause();
      const ms = (chunk.length / slowly.bytesPerSecond) * 1000;
      this.#pace = setTimeout(() => {
        this.#silence.refresh();
        message.resume();
      }, ms);
    }
  }

  #compare(chunk: Buffer, content: Uint8Array): void {
    if (this.#firstWrong !== undefined) return;
    const at = this.#start + this.#received;
    if (chunk.equals(content.subarray(at, at + chunk.length))) return;
    const wrong = chunk.findIndex((byte, index) => content[at + index] !== byte);
    this.#firstWrong = at + Math.max(0, wrong);
  }

  #hang(): void {
    this.#isHung = true;
    this.#destroy();
  }
}
