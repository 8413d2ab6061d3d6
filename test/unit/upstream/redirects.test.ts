import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { HttpAnswer } from '../../../src/upstream/http-answer.ts';
import { redirectTarget } from '../../../src/upstream/redirects.ts';

const REQUEST = {
  kind: 'blob',
  method: 'GET',
  url: new URL('https://registry.example.com/v2/a/blobs/sha256:x'),
  headers: {},
  what: 'a/blobs/sha256:x',
} as const;

function redirect(
  location: string | undefined,
  upstream = 'https://registry.example.com',
  status = 307,
): string | undefined {
  const answer: HttpAnswer = {
    request: REQUEST,
    status,
    headers: { location },
    body: Readable.from([]),
    text: '',
  };
  return redirectTarget(answer, new URL(upstream))?.href;
}

describe('redirectTarget', () => {
  it.each([301, 302, 303, 307, 308])('follows a %d', (status) => {
    expect(redirect('https://cdn.example.net/x?sig=1', undefined, status)).toBe(
      'https://cdn.example.net/x?sig=1',
    );
  });

  it.each([200, 206, 300, 304, 404])('sees no redirect in a %d', (status) => {
    expect(redirect('https://cdn.example.net/x', undefined, status)).toBeUndefined();
  });

  it.each([
    ['/artifacts-downloads/x', 'https://registry.example.com/artifacts-downloads/x'],
    ['//cdn.example.net/x', 'https://cdn.example.net/x'],
    ['other', 'https://registry.example.com/v2/a/blobs/other'],
  ])('resolves %s against where it came from', (location, expected) => {
    expect(redirect(location)).toBe(expected);
  });

  it('takes no user name, password and fragment from it', () => {
    expect(redirect('https://jane:hunter2@cdn.example.net/x?a=b#c')).toBe('https://cdn.example.net/x?a=b');
  });

  it('goes from https to http only where the upstream has no TLS either', () => {
    expect(() => redirect('http://cdn.example.net/x?sig=1')).toThrow(/to cdn\.example\.net without TLS$/);
    expect(redirect('http://cdn.example.net/x', 'http://registry.example.com')).toBe(
      'http://cdn.example.net/x',
    );
  });

  it.each([undefined, '', 'https://', 'file:///etc/passwd', 'data:text/plain,x'])(
    'refuses Location %o',
    (location) => {
      expect(() => redirect(location)).toThrow(expect.objectContaining({ failure: 'protocol' }) as Error);
    },
  );
});
