/**
 * Sends what lies in a file by sendfile(2): from the kernel's page cache to the socket, by threads of native code
 * (native/), past Node.js and its buffers. Where it can't, or gives up, it says how far it came: the copy loop goes on
 * from there, and it is the copy loop that finds out what is wrong.
 */
import { existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Motion } from '../lib/beside.ts';
import { trackBeside } from '../lib/beside.ts';
import type { Outlet } from '../lib/outlet.ts';

/** What native/addon.c gives. */
interface Addon {
  /** A number for the transfer, by which it is known until `done` is called; undefined where it can't be begun. */
  send(
    socket: number,
    file: number,
    position: number,
    end: number,
    done: (sent: number) => void,
  ): number | undefined;
  sent(transfer: number): number;
  cancel(transfer: number): void;
}

/**
 * From where on it pays (docs/adr/0012): a transfer costs some 80 µs of hand-over. For one more piece of a file that comes
 * in, that is little; a whole blob has to have its headers written first and its end last.
 */
const PAYING = { forPiece: 128 * 1024, fromStart: 2 * 1024 * 1024 };

/**
 * The end of what is there is left to be written. A client that has everything may hang up before the thread's word gets
 * here, and would count as one that left too early.
 */
const TAIL_BYTES = 16 * 1024;
/** Between two pieces it is seen whether the file is still good: that of a download that fails is not. */
const MAX_BYTES = 64 * 1024 * 1024;
const LEAST: typeof PAYING = { forPiece: TAIL_BYTES + 1, fromStart: TAIL_BYTES + 1 };

const FILE = `sendfile-${process.platform}-${process.arch}.node`;
/** Beside the compiled code, and seen from the sources. */
const DIRECTORIES: readonly string[] = ['../native', '../../dist/native'];

export class Sendfile {
  readonly #addon: Addon;
  readonly #minBytes: typeof PAYING;

  private constructor(addon: Addon, minBytes: typeof PAYING) {
    this.#addon = addon;
    this.#minBytes = minBytes;
  }

  /**
   * `undefined` where there is no binary for this system, or none that it loads.
   * @param mode `auto` sends what is large enough for it to pay, `always` all that it can
   * @param onUnusable told why it does not load
   */
  static load(
    mode: 'auto' | 'always' | 'off',
    onUnusable: (error: unknown) => void = () => undefined,
  ): Sendfile | undefined {
    if (mode === 'off') return undefined;
    const paths = DIRECTORIES.map((directory) => join(import.meta.dirname, directory, FILE));
    const path = paths.find((candidate) => existsSync(candidate));
    if (path === undefined) return undefined;
    try {
      return new Sendfile(createRequire(import.meta.url)(path) as Addon, mode === 'always' ? LEAST : PAYING);
    } catch (error) {
      onUnusable(error);
      return undefined;
    }
  }

  /** Whether of that many bytes the first are best written alone, to have the rest sent. */
  wantsRestOf(bytes: number): boolean {
    return bytes >= this.#minBytes.fromStart;
  }

  /**
   * Sends what there is from `position` on, but for some bytes before `end`; resolves to how many it sent, which may be
   * none.
   * @throws SinkClosedError when the receiver goes; the descriptors are let go of by then
   */
  async send(file: FileHandle, outlet: Outlet, position: number, end: number): Promise<number> {
    const raw = end - position >= this.#minBytes.forPiece ? outlet.rawSocket : undefined;
    if (!raw) return 0;
    const wanted = Math.min(end - position - TAIL_BYTES, MAX_BYTES);
    const transfer = Transfer.begin(this.#addon, raw.descriptor, file.fd, position, position + wanted);
    if (transfer) {
      using _tracked = trackBeside(raw.socket, transfer);
      try {
        await outlet.until((resolve) => void transfer.over.then(() => resolve()));
      } catch (error) {
        await transfer.cancel();
        throw error;
      }
    }
    const sent = transfer?.bytesSent ?? 0;
    if (sent < wanted) outlet.forgoRawSocket();
    return sent;
  }
}

class Transfer implements Motion {
  readonly #addon: Addon;
  readonly #over = Promise.withResolvers<undefined>();
  /** Its number, until it is over. */
  #id: number | undefined;
  #total = 0;

  private constructor(addon: Addon) {
    this.#addon = addon;
  }

  static begin(addon: Addon, socket: number, file: number, position: number, end: number) {
    const transfer = new Transfer(addon);
    transfer.#id = addon.send(socket, file, position, end, (sent) => {
      transfer.#id = undefined;
      transfer.#total = sent;
      transfer.#over.resolve(undefined);
    });
    return transfer.#id === undefined ? undefined : transfer;
  }

  get over(): Promise<undefined> {
    return this.#over.promise;
  }

  get bytesSent(): number {
    return this.#id === undefined ? this.#total : this.#addon.sent(this.#id);
  }

  /** Resolves when it is over. */
  async cancel(): Promise<void> {
    if (this.#id !== undefined) this.#addon.cancel(this.#id);
    await this.over;
  }
}
