import { describe, expect, it } from 'vitest';
import { FreeList } from '../../../src/lib/free-list.ts';
import { GatheredBody, type Flow } from '../../../src/upstream/gathered-body.ts';
import { bytesOf } from '../../support/bodies.ts';

const PIECE = 8;

/** A connection that writes down what it is told. */
function connection() {
  const told: unknown[] = [];
  const flow: Flow = {
    pause: () => void told.push('pause'),
    resume: () => void told.push('resume'),
    abort: (reason: Error) => void told.push(reason),
  };
  return { ...flow, told };
}

function bodyOn(flow = connection(), size?: number) {
  const buffers = new FreeList(PIECE, 4);
  const body = new GatheredBody(flow, buffers, size);
  const reader = body[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await reader.next();
    return done === true ? undefined : Buffer.from(value).toString();
  };
  return { body, reader, read, told: flow.told, buffers, add: (text: string) => body.add(Buffer.from(text)) };
}

describe('GatheredBody', () => {
  it('gives a reader that waits what comes, at once', async () => {
    const { body, read, add } = bodyOn();
    const first = read();
    add('ab');
    expect(await first).toBe('ab');
    const next = read();
    add('c');
    expect(await next).toBe('c');
    const last = read();
    body.end();
    expect(await last).toBeUndefined();
  });

  it('gives a reader that was busy all that came meanwhile, piece by piece', async () => {
    const { body, read, add } = bodyOn();
    for (const text of ['abc', 'def', 'ghijklmnopqrst', 'u']) add(text);
    body.end();
    expect([await read(), await read(), await read(), await read()]).toEqual([
      ...['abcdefgh', 'ijklmnop', 'qrstu'],
      undefined,
    ]);
  });

  it('has the connection pause while a whole piece waits, and no longer', async () => {
    const { read, add, told } = bodyOn();
    add('abcdefg');
    expect(told).toEqual([]);
    add('hij');
    add('klmnopqr');
    expect(told).toEqual(['pause']);
    await read();
    expect(told).toEqual(['pause']);
    await read();
    expect(told).toEqual(['pause', 'resume']);
  });

  it('takes in what the connection brings when it is told to go on', async () => {
    const flow = connection();
    const resume = () => {
      add('ijk');
      body.end();
    };
    const { body, read, add } = bodyOn({ ...flow, resume });
    add('abcdefgh');
    expect([await read(), await read(), await read()]).toEqual(['abcdefgh', 'ijk', undefined]);
  });

  it('uses the memory of a piece again once the next is asked for', async () => {
    const { read, reader, add, buffers } = bodyOn();
    add('abcdefgh');
    const { value } = await reader.next();
    add('ijklmnop');
    expect(Buffer.from(value!).toString()).toBe('abcdefgh');
    await read();
    expect(buffers.take().buffer).toBe(value!.buffer);
  });

  it('leaves the memory of the last piece alone when its reader stops', async () => {
    const { body, add, buffers, told } = bodyOn();
    add('abcdefgh');
    let held: Uint8Array | undefined;
    for await (const piece of body) {
      held = piece;
      break;
    }
    expect(buffers.take().buffer).not.toBe(held!.buffer);
    expect(told.at(-1)).toBeInstanceOf(Error);
  });

  it('takes no large buffer for a small body', async () => {
    const { reader, add } = bodyOn(connection(), 3);
    add('abc');
    expect((await reader.next()).value!.buffer.byteLength).toBe(3);
  });

  it.each(['breaks off', 'is destroyed'])(
    'gives out what had come when it %s, and then fails',
    async (how) => {
      const { body, read, add, told } = bodyOn();
      const cause = new Error('enough');
      add('abcdefghijk');
      if (how === 'breaks off') body.end(cause);
      else body.destroy(cause);
      expect([await read(), await read()]).toEqual(['abcdefgh', 'ijk']);
      await expect(read()).rejects.toBe(cause);
      expect(told.includes(cause)).toBe(how === 'is destroyed');
    },
  );

  it('fails a reader that waits', async () => {
    const { body, read } = bodyOn();
    const waiting = read();
    body.destroy();
    await expect(waiting).rejects.toThrow('nobody');
  });

  it('does not touch a connection that is done with it', async () => {
    const { body, add, told } = bodyOn();
    add('abc');
    body.end();
    body.destroy();
    expect((await bytesOf(body)).toString()).toBe('abc');
    expect(told).toEqual([]);
  });
});
