import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Logger } from 'pino';
import { createLogger } from '../../../src/telemetry/logger.ts';

/** What is logged, as text. */
async function logged(write: (log: Logger) => void, options: { level?: string; isPretty?: boolean } = {}) {
  const destination = new PassThrough();
  const { level = 'info', isPretty = false } = options;
  write(createLogger({ level, isPretty, destination }));
  // Lines for people go through a stream that takes a turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  return (destination.read() as Buffer | null)?.toString() ?? '';
}

async function loggedJson(write: (log: Logger) => void): Promise<Record<string, unknown>> {
  return JSON.parse(await logged(write)) as Record<string, unknown>;
}

describe('createLogger', () => {
  it('writes one line of JSON for each entry: level by name, time as ISO 8601, the message, what was given', async () => {
    const text = await logged((log) => {
      log.info({ dataDir: '/data' }, 'listening');
      log.warn('two\nlines');
    });
    const lines = text.split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
        dataDir: '/data',
        msg: 'listening',
      },
      { level: 'warn', time: expect.any(String) as string, msg: 'two\nlines' },
    ]);
  });

  it.each([
    ['trace', 6],
    ['info', 4],
    ['error', 2],
    ['silent', 0],
  ])('at the level %s writes what is as severe or more', async (level, count) => {
    const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
    const text = await logged((log) => levels.forEach((name) => log[name](name)), { level });
    const written = text.split('\n').filter((line) => line !== '');
    expect(written.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(
      count === 0 ? [] : levels.slice(-count),
    );
  });

  it('writes an error with its code, its stack and all its causes', async () => {
    const cause = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    const err = new TypeError('the blob can not be stored', { cause });
    const line = await loggedJson((log) => log.error({ err }, 'failed'));
    expect(line['err']).toEqual({
      type: 'TypeError',
      message: 'the blob can not be stored',
      stack: expect.stringContaining('logger.test.ts') as string,
      cause: {
        type: 'Error',
        message: 'no space left',
        code: 'ENOSPC',
        stack: expect.stringContaining('logger.test.ts') as string,
      },
    });
  });

  it('writes nothing else that hangs on an error: libraries hang whole answers on theirs', async () => {
    const extras = {
      data: 'secret-1',
      headers: { authorization: 'secret-2' },
      socket: { token: 'secret-3' },
    };
    const err = new Error('outer', { cause: Object.assign(new Error('inner'), extras) });
    const text = await logged((log) => log.error({ err: Object.assign(err, extras) }));
    expect(text).toContain('inner');
    expect(text).not.toContain('secret-');
  });

  it('writes errors that are none, and such as are their own causes', async () => {
    const line = await loggedJson((log) => log.error({ err: 'a text' }));
    expect(line['err']).toBe('a text');
    const circular = new Error('round and round');
    circular.cause = circular;
    expect(await loggedJson((log) => log.error({ err: circular }))).toHaveProperty('err.cause.cause');
  });

  it('masks what should never have been given to it', async () => {
    const secrets = { authorization: 'secret-1', password: 'secret-2', token: 'secret-3' };
    const text = await logged((log) => log.info({ ...secrets, headers: secrets }));
    expect(text).not.toContain('secret-');
    expect(text).toContain('***');
  });

  it('writes lines for people where a person watches', async () => {
    const text = await logged((log) => log.info({ dataDir: '/data' }, 'listening'), { isPretty: true });
    expect(stripVTControlCharacters(text)).toMatch(/^\[\d\d:\d\d:\d\d\] INFO: listening  dataDir=\/data\n$/);
  });
});
