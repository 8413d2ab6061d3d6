import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { HotAnswers, type HotAnswer } from '../../../src/http/hot-answers.ts';
import type { Validity } from '../../../src/repository/repository.ts';

const NOW = 1_000_000;
/** What is kept concerns no response: other keepers set a header on it. */
const response = undefined as unknown as ServerResponse;

function answerOn(keys: readonly string[], validity: Partial<Validity> = {}): HotAnswer {
  return {
    headers: ['Content-Type', 'text/plain'],
    validity: { since: 0, until: Number.MAX_SAFE_INTEGER, keys, ...validity },
    record: { route: 'manifest', source: 'hit' },
  };
}

function keep(
  answers: HotAnswers,
  target: string,
  answer: HotAnswer,
  body: Uint8Array | undefined = Buffer.from(target),
): void {
  answers.begin()(response, target, answer, body);
}

const targets = (count: number) => Array.from({ length: count }, (_, number) => `GET /v2/${number}`);

describe('HotAnswers', () => {
  it('gives an answer again to what asks for the very same, by the same method', () => {
    const answers = new HotAnswers(1_000_000);
    const answer = answerOn(['sha256:a']);
    keep(answers, 'GET /v2/a?ns=docker.io', answer);
    expect(answers.find('GET /v2/a?ns=docker.io', NOW)).toEqual({
      ...answer,
      body: 'GET /v2/a?ns=docker.io',
    });
    for (const other of ['HEAD /v2/a?ns=docker.io', 'GET /v2/a', 'GET /v2/a?ns=ghcr.io']) {
      expect(answers.find(other, NOW)).toBeUndefined();
    }
  });

  it('keeps every byte of a body as it is, wherever in a buffer it lies', () => {
    const answers = new HotAnswers(1_000_000);
    const bytes = Buffer.from(Array.from({ length: 258 }, (_, byte) => byte % 256)).subarray(1, 257);
    keep(answers, 'GET /v2/a', answerOn([]), bytes);
    expect(Buffer.from(answers.find('GET /v2/a', NOW)!.body, 'latin1')).toEqual(bytes);
  });

  it('has an empty body for a HEAD', () => {
    const answers = new HotAnswers(1_000_000);
    answers.begin()(response, 'HEAD /v2/a', answerOn([]), undefined);
    expect(answers.find('HEAD /v2/a', NOW)?.body).toBe('');
  });

  it('gives nothing from the moment on until which it holds', () => {
    const answers = new HotAnswers(1_000_000);
    keep(answers, 'GET /v2/a', answerOn([], { since: NOW, until: NOW + 100 }));
    expect(answers.find('GET /v2/a', NOW)).toBeDefined();
    expect(answers.find('GET /v2/a', NOW + 99)).toBeDefined();
    expect(answers.find('GET /v2/a', NOW + 100)).toBeUndefined();
  });

  it('gives nothing from before it held: the clock was set back', () => {
    const answers = new HotAnswers(1_000_000);
    keep(answers, 'GET /v2/a', answerOn([], { since: NOW, until: NOW + 100 }));
    expect(answers.find('GET /v2/a', NOW - 1)).toBeUndefined();
  });

  it('drops all that rests on a key, and nothing else', () => {
    const answers = new HotAnswers(1_000_000);
    keep(answers, 'GET /v2/by-tag', answerOn(['sha256:a', 'tag']));
    keep(answers, 'GET /v2/by-digest', answerOn(['sha256:a']));
    keep(answers, 'GET /v2/other', answerOn(['sha256:b', 'other tag']));
    const left = () =>
      ['by-tag', 'by-digest', 'other'].filter((name) => answers.find(`GET /v2/${name}`, NOW) !== undefined);
    answers.drop('sha256:unknown');
    expect(left()).toEqual(['by-tag', 'by-digest', 'other']);
    answers.drop('tag');
    expect(left()).toEqual(['by-digest', 'other']);
    answers.drop('sha256:a');
    expect(left()).toEqual(['other']);
  });

  it('drops an answer that was kept in the place of another by what it rests on now', () => {
    const answers = new HotAnswers(1_000_000);
    keep(answers, 'GET /v2/a', answerOn(['sha256:old']));
    keep(answers, 'GET /v2/a', answerOn(['sha256:new']));
    answers.drop('sha256:old');
    expect(answers.find('GET /v2/a', NOW)).toBeDefined();
    answers.drop('sha256:new');
    expect(answers.find('GET /v2/a', NOW)).toBeUndefined();
  });

  it('drops everything where nobody knows what has changed', () => {
    const answers = new HotAnswers(1_000_000);
    for (const target of targets(3)) keep(answers, target, answerOn([target]));
    answers.drop(undefined);
    for (const target of targets(3)) expect(answers.find(target, NOW)).toBeUndefined();
  });

  it.each([
    ['what it rests on', 'sha256:a'],
    ['everything', undefined],
  ])('does not keep an answer if %s was dropped since its request began', (_what, key) => {
    const answers = new HotAnswers(1_000_000);
    const late = answers.begin();
    answers.drop(key);
    late(response, 'GET /v2/a', answerOn(['sha256:a']), Buffer.from('old'));
    expect(answers.find('GET /v2/a', NOW)).toBeUndefined();
    keep(answers, 'GET /v2/a', answerOn(['sha256:a']));
    expect(answers.find('GET /v2/a', NOW)).toBeDefined();
  });

  it('holds no more than it may, lets go what was given least recently, and can drop what came after', () => {
    const answers = new HotAnswers(100_000);
    const body = Buffer.alloc(8000);
    for (const target of targets(50)) {
      keep(answers, target, answerOn([target, 'shared']), body);
      expect(answers.find('GET /v2/0', NOW)).toBeDefined();
    }
    const left = targets(50).filter((target) => answers.find(target, NOW) !== undefined);
    expect(left.length).toBeGreaterThan(5);
    expect(left.length * body.length).toBeLessThan(100_000);
    expect(left).toContain('GET /v2/49');
    answers.drop('shared');
    for (const target of targets(50)) expect(answers.find(target, NOW)).toBeUndefined();
  });

  it('keeps no body that is large, nor one that alone is larger than all may be', () => {
    const roomy = new HotAnswers(10_000_000);
    keep(roomy, 'GET /v2/a', answerOn([]), Buffer.alloc(64 * 1024));
    keep(roomy, 'GET /v2/b', answerOn([]), Buffer.alloc(64 * 1024 + 1));
    expect(roomy.find('GET /v2/a', NOW)).toBeDefined();
    expect(roomy.find('GET /v2/b', NOW)).toBeUndefined();
    const tight = new HotAnswers(10_000);
    keep(tight, 'GET /v2/a', answerOn(['sha256:a']), Buffer.alloc(20_000));
    expect(tight.find('GET /v2/a', NOW)).toBeUndefined();
  });

  it('keeps nothing where it may have no memory', () => {
    const none = new HotAnswers(0);
    keep(none, 'HEAD /v2/a', answerOn([]), undefined);
    expect(none.find('HEAD /v2/a', NOW)).toBeUndefined();
  });
});
