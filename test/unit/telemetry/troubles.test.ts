import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLogger, linesOf, troublesOf } from '../../../src/telemetry/logger.ts';
import { Troubles } from '../../../src/telemetry/troubles.ts';

function openLog(options: { level?: string; isPretty?: boolean } = {}) {
  const destination = new PassThrough();
  destination.resume();
  const log = createLogger({ level: 'debug', isPretty: false, ...options, destination });
  return { log, troubles: troublesOf(log) };
}

describe('the troubles of a log', () => {
  it.each([false, true])('are its lines at warn or above, the last one first (pretty: %s)', (isPretty) => {
    const { log, troubles } = openLog({ isPretty });
    log.debug('debug');
    log.info({ level: 'error' }, 'info');
    log.warn('warn');
    log.error('error');
    log.fatal('fatal');
    expect(troubles.list().map(({ level, message }) => [level, message])).toEqual([
      ['fatal', 'fatal'],
      ['error', 'error'],
      ['warn', 'warn'],
    ]);
    expect(Date.parse(troubles.list()[0]!.at)).not.toBeNaN();
  });

  it('say why: what the error says and each of its causes, once', () => {
    const { log, troubles } = openLog();
    const root = new Error('no space left');
    const middle = new Error('write failed: no space left', { cause: root });
    log.error(
      { err: new Error('the blob can not be stored', { cause: middle }), requestId: 'r-1' },
      'failed',
    );
    log.warn({ reason: 'it ended with code 1' }, 'a worker is gone');
    log.warn({ reason: 7 }, 'no text');
    expect(troubles.list().map(({ reason }) => reason)).toEqual([
      undefined,
      'it ended with code 1',
      'the blob can not be stored: write failed: no space left',
    ]);
    expect(troubles.list().map(({ requestId }) => requestId)).toEqual([undefined, undefined, 'r-1']);
  });

  it('are those of the logs made of it too, and of lines that another process has written', () => {
    const { log, troubles } = openLog();
    log.child({ part: 'index' }, { redact: [] }).warn('of a child');
    const lines = ['info', 'warn', 'debug', 'error'].map((level) =>
      JSON.stringify({ level, time: '2030-01-01T00:00:00.000Z', msg: `${level} of a worker` }),
    );
    linesOf(log)(`${lines.join('\n')}\n`);
    expect(troubles.list().map(({ message }) => message)).toEqual([
      'error of a worker',
      'warn of a worker',
      'of a child',
    ]);
  });

  it('hold nothing that the log keeps to itself', () => {
    const { log, troubles } = openLog();
    const err = Object.assign(new Error('denied'), { headers: { authorization: 'secret-1' } });
    log.warn({ err, token: 'secret-2', request: { authorization: 'secret-3' } }, 'refused');
    expect(JSON.stringify(troubles.list())).not.toContain('secret');
  });

  it('are none below the level of the log', () => {
    const { log, troubles } = openLog({ level: 'error' });
    log.warn('warn');
    expect(troubles.list()).toEqual([]);
  });

  it('are the last hundred', () => {
    const troubles = new Troubles();
    for (let n = 1; n <= 150; n += 1) troubles.note(JSON.stringify({ level: 'warn', time: '', msg: `${n}` }));
    const messages = troubles.list().map(({ message }) => message);
    expect([messages.length, messages[0], messages.at(-1)]).toEqual([100, '150', '51']);
  });

  it('leave a line that is no whole one alone', () => {
    const troubles = new Troubles();
    troubles.noteAll('{"level":"warn"\n{"level":"error","time":"t","msg":"whole"}');
    expect(troubles.list().map(({ message }) => message)).toEqual(['whole']);
  });
});
