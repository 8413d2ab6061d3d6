import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/lib/secret.ts';

describe('Secret', () => {
  const secret = new Secret('hunter2');

  it('gives its value to whoever asks for it', () => {
    expect(secret.reveal()).toBe('hunter2');
  });

  it.each([
    ['String()', String(secret)],
    ['a template', `password=${secret.toString()}`],
    ['JSON', JSON.stringify({ nested: [secret] })],
    ['util.inspect', inspect({ nested: { secret } }, { depth: null, showHidden: true })],
    ['util.format with %o', inspect(secret, { showHidden: true, showProxy: true })],
    ['its own enumerable properties', JSON.stringify(Object.entries(secret))],
    ['a copy', JSON.stringify(Object.assign({}, secret))],
  ])('does not show it in %s', (_, shown) => {
    expect(shown).not.toContain('hunter2');
  });

  it('shows that there is one', () => {
    expect(JSON.stringify({ secret })).toBe('{"secret":"***"}');
    expect(inspect(secret)).toBe('Secret(***)');
  });
});
