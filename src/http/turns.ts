/**
 * The order on each connection: its requests are answered one after the other. Node.js starts all that a client sends
 * ahead of their answers at once; here one of them is at work, and what waits is bounded, on one connection and in all.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

interface Line {
  isBusy: boolean;
  readonly waiting: (() => void)[];
}

export class Turns {
  readonly #answer: RequestListener;
  readonly #maxWaiting: number;
  readonly #lines = new Map<Socket, Line>();
  #waiting = 0;
  #isClosing = false;

  /** @param maxWaiting on all connections together */
  constructor(answer: RequestListener, maxWaiting: number) {
    this.#answer = answer;
    this.#maxWaiting = maxWaiting;
  }

  /** Requests that are being answered, or wait. */
  get inFlight(): number {
    let busy = 0;
    for (const { isBusy } of this.#lines.values()) if (isBusy) busy += 1;
    return busy + this.#waiting;
  }

  /** To be called once for each connection, before its first request. */
  open(socket: Socket): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const line: Line = { isBusy: false, waiting: [] };
    this.#lines.set(socket, line);
    // Node.js reads on when an answer has drained, whoever else had it pause: what waits would grow with every drain.
    socket.on('resume', () => {
      if (line.waiting.length > 0) socket.pause();
    });
    socket.once('close', () => {
      this.#lines.delete(socket);
      this.#waiting -= line.waiting.length;
    });
  }

  has(socket: Socket): boolean {
    return this.#lines.has(socket);
  }

  /** Whether something was asked on it that has no answer yet, or only a part of it. */
  isBusy(socket: Socket): boolean {
    return this.#lines.get(socket)?.isBusy ?? false;
  }

  /** Answers it when its turn comes. False where too many wait already. */
  add(request: IncomingMessage, response: ServerResponse): boolean {
    const { socket } = request;
    return this.#enqueue(socket, () => {
      if (this.#isClosing) response.setHeader('Connection', 'close');
      this.#answer(request, response);
      // Behind all who hear of its end in the application: for them it is over before the next one begins.
      response.once('close', () => this.#next(socket));
    });
  }

  /** Calls `end`, which has to end the connection, when all that was asked before is answered. */
  end(socket: Socket, end: () => void): void {
    if (!this.#enqueue(socket, end)) socket.destroy();
  }

  /** Ends each connection, at once or with the answer that is under way. */
  close(): void {
    this.#isClosing = true;
    for (const [socket, { isBusy }] of this.#lines) if (!isBusy) socket.destroy();
  }

  #enqueue(socket: Socket, turn: () => void): boolean {
    const line = this.#lines.get(socket);
    // After an answer that ends the connection, nothing can be answered.
    if (!line || !socket.writable) return true;
    if (!line.isBusy) {
      line.isBusy = true;
      turn();
      return true;
    }
    if (this.#waiting >= this.#maxWaiting) return false;
    line.waiting.push(turn);
    this.#waiting += 1;
    socket.pause();
    return true;
  }

  #next(socket: Socket): void {
    const line = this.#lines.get(socket);
    if (!line || !socket.writable) return;
    const turn = line.waiting.shift();
    if (turn) {
      this.#waiting -= 1;
      turn();
      if (line.waiting.length === 0) socket.resume();
      return;
    }
    line.isBusy = false;
    if (this.#isClosing) socket.destroySoon();
  }
}
