/** Texts that go wrong. All are `latin1`: each character is one byte, whatever that means in UTF-8. */
import type { Random } from '../../support/random.ts';

export function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** What has harmed a server or a client before, or stands for something at this one. */
export const NASTY: readonly string[] = [
  ...[
    '\0',
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\t',
    ' ',
    '\x7f',
    '\x80',
    '\xff\xfe',
    '\xc0\xaf',
    '\xed\xa0\x80',
  ],
  ...['%', '%zz', '%00', '%0d%0a', '%2f', '%2F', '%5c', '%2e%2e', '%252e', '%u002e', '%c0%af', '%3a', '%3A'],
  ...[
    '.',
    '..',
    '../',
    '/../../',
    '/./',
    '//',
    '\\',
    '..\\',
    '~',
    '|',
    ';',
    ':',
    '@',
    '?',
    '#',
    '&',
    '=',
    ',',
  ],
  ...['"', "'", '<', '>', '{', '}', '[', ']', '(', ')', '*', '+', '$', '!', '`', '\\"'],
  ...['__proto__', 'constructor', 'toString', 'null', 'undefined', 'NaN', 'true', '[object Object]'],
  ...['-1', '0', '00', '1e9', '0x10', '4294967296', '9007199254740993', '9'.repeat(40), '-0', '1.5'],
  ...['v2', '/v2/', 'manifests', 'blobs', 'tags', 'list', 'referrers', 'uploads', '_catalog', 'token'],
  ...['é', '／', '‮', 'ﬁ', 'İ', '𝟘', '\u200b', '\ufeff', 'А', '🐳'].map(utf8),
  ...[
    'a'.repeat(129),
    'a'.repeat(256),
    'a/'.repeat(200),
    'A'.repeat(1025),
    '-'.repeat(5000),
    'x'.repeat(20_000),
  ],
];

/** The text with one to three things done to it. */
export function mutate(random: Random, text: string): string {
  let result = text;
  for (let left = random.between(1, 3); left > 0; left -= 1) result = mutateOnce(random, result);
  return result;
}

function mutateOnce(random: Random, text: string): string {
  const start = random.below(text.length + 1);
  const end = Math.min(text.length, start + random.pick([1, 1, 1, 2, 5, 20, 1000]));
  const [before, part, after] = [text.slice(0, start), text.slice(start, end), text.slice(end)];
  switch (random.below(8)) {
    case 0:
      return (
        before +
        String.fromCharCode((part.charCodeAt(0) || 0) ^ (1 << random.below(8))) +
        text.slice(start + 1)
      );
    case 1:
      return before + after;
    case 2:
      return before + part.repeat(random.pick([2, 2, 3, 50])) + after;
    case 3:
      return before + random.pick(NASTY) + after;
    case 4:
      return before + random.pick(NASTY) + text.slice(start);
    case 5:
      return before + percentEncoded(part) + after;
    case 6:
      return before + (random.chance(0.5) ? part.toUpperCase() : part.toLowerCase()) + after;
    default:
      return before;
  }
}

function percentEncoded(text: string): string {
  return text.replaceAll(/[^]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
