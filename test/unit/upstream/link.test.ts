import { describe, expect, it } from 'vitest';
import { nextLinkIn } from '../../../src/upstream/link.ts';

describe('nextLinkIn', () => {
  it.each([
    ['relative', '</v2/a/tags/list?n=2&last=b>; rel="next"', '/v2/a/tags/list?n=2&last=b'],
    [
      'absolute',
      '<https://r.example/v2/a/tags/list?last=b>; rel="next"',
      'https://r.example/v2/a/tags/list?last=b',
    ],
    ['without quotes', '</x>;rel=next', '/x'],
    ['in any case', '</x>; REL="NEXT"', '/x'],
    ['among relations', '</x>; rel="last next"', '/x'],
    ['behind others', '</first>; rel="first", </x>; title="a"; rel="next"', '/x'],
    ['with a comma in it', '</x?a=1,2>; rel="next"', '/x?a=1,2'],
    ['without a relation', '</x>', '/x'],
  ])('finds a link %s', (_, header, expected) => {
    expect(nextLinkIn(header)).toBe(expected);
  });

  it.each([undefined, '', '</x>; rel="prev"', 'rel="next"', '</x; rel="next"'])(
    'finds none in %o',
    (header) => {
      expect(nextLinkIn(header)).toBeUndefined();
    },
  );
});
