import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../../src/upstream/challenge.ts';

const parse = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) }));

describe('parseChallenges', () => {
  it('reads the challenge of Docker Hub', () => {
    expect(
      parse(
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/mongo:pull"',
      ),
    ).toEqual([
      {
        scheme: 'bearer',
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:library/mongo:pull',
      },
    ]);
  });

  it.each([
    ['two challenges', 'Basic realm="a, b", Bearer realm="https://x/t" , service=y'],
    [
      'two challenges in the other order of case',
      'BASIC Realm="a, b",bearer REALM="https://x/t",Service="y"',
    ],
    ['values without quotes', 'basic realm="a, b", Bearer realm=https://x/t, service=y'],
    ['spaces around the equals sign', 'Basic realm = "a, b", Bearer realm ="https://x/t", service= y'],
  ])('reads %s', (_, header) => {
    expect(parse(header)).toEqual([
      { scheme: 'basic', realm: 'a, b' },
      { scheme: 'bearer', realm: 'https://x/t', service: 'y' },
    ]);
  });

  it('keeps a comma in a scope, and the first of two scopes', () => {
    expect(parse('Bearer scope="repository:a:pull,push",scope="other"')).toEqual([
      { scheme: 'bearer', scope: 'repository:a:pull,push' },
    ]);
  });

  it('undoes the escapes of a quoted string', () => {
    expect(parse(String.raw`Basic realm="say \"hello\" \\ now"`)).toEqual([
      { scheme: 'basic', realm: String.raw`say "hello" \ now` },
    ]);
  });

  it('reads schemes without parameters, or with a token in their place', () => {
    expect(parse('Negotiate, NTLM TlRMTVNTUAA==, Basic realm="x"')).toEqual([
      { scheme: 'negotiate' },
      { scheme: 'ntlm' },
      { scheme: 'basic', realm: 'x' },
    ]);
  });

  it.each([
    ['nothing', '', []],
    ['commas', ' , ,', []],
    ['no scheme', '="x"', []],
    [
      'a quote that never ends',
      'Bearer service="y",realm="https://x',
      [{ scheme: 'bearer', service: 'y' }, { scheme: 'realm' }],
    ],
  ])('makes what it can of %s', (_, header, expected) => {
    expect(parse(header)).toEqual(expected);
  });
});
