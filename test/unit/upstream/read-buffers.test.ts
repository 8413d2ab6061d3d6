import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ReadBuffers } from '../../../src/upstream/read-buffers.ts';

/** A socket as far as reading goes, and what it reads in turn. */
function socketOn(reads: ReadBuffers) {
  const { onread, highWaterMark } = reads.socketOptions;
  const socket = new Readable({ highWaterMark: highWaterMark!, read: () => undefined });
  return {
    socket,
    next: onread!.buffer as () => Buffer,
    /** Whether more may be read before somebody looks at it. */
    receive: (into: Buffer, text: string) => {
      into.write(text);
      const { callback } = onread as { callback: (this: unknown, ...read: [number, Buffer]) => boolean };
      return callback.call(socket, text.length, into);
    },
  };
}

describe('ReadBuffers', () => {
  it('has each read looked at before the next one', () => {
    const { socket, next, receive } = socketOn(new ReadBuffers());
    expect(receive(next(), 'abc')).toBe(false);
    expect(String(socket.read())).toBe('abc');
  });

  it('gives out again what was read into and copied, and nothing else', () => {
    const reads = new ReadBuffers();
    const { socket, next, receive } = socketOn(reads);
    const buffer = next();
    receive(buffer, 'abcdef');
    const read = socket.read() as Buffer;
    reads.release(read.subarray(0, 4));
    reads.release(read.subarray(4));
    reads.release(Buffer.from('abcdef'));
    expect(next()).not.toBe(buffer);
    reads.release(read);
    expect(next()).toBe(buffer);
    reads.release(read);
    expect(next()).not.toBe(buffer);
  });
});
