/** Requests to a registry as bytes: valid ones, and what becomes of them when things are done to their parts. */
import type { Random } from '../../support/random.ts';
import { mutate, NASTY, utf8 } from './mutate.ts';

/** What there is to ask for. */
export interface Targets {
  /** Below `/v2/`, as `library/alpine/manifests/3`. */
  readonly paths: readonly string[];
  readonly digests: readonly string[];
}

const METHODS = [
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'get',
  'HEADS',
  'PRI',
  '',
];
const VERSIONS = [
  'HTTP/1.0',
  'HTTP/0.9',
  'HTTP/2.0',
  'HTTP/1.2',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/11',
  'SMTP/1.1',
  '',
];
const TYPES = [
  'application/spdx+json',
  'application/vnd.oci.image.manifest.v1+json',
  'text/html',
  '*/*',
  'a b',
];
const NUMBERS = [
  '0',
  '1',
  '-1',
  '1e3',
  '',
  ' 1',
  '1.5',
  '0x1',
  '99999999999999999999',
  '１',
  '1,2',
  'NaN',
  'Infinity',
];
const RANGES = [
  ...[
    'bytes=0-',
    'bytes=0-0',
    'bytes=-1',
    'bytes=5-2',
    'bytes=-',
    'bytes=0-99999999999999999999',
    'bytes=-0',
  ],
  ...[
    'bytes=99999999999999999999-',
    'bytes=0-1,5-9',
    'items=0-1',
    'bytes 0-1',
    'bytes=a-b',
    'bytes=١-٢',
    'BYTES=1-',
  ],
  ...[`bytes=${'0-1,'.repeat(1000)}2-3`, 'bytes=9007199254740992-9007199254740993'],
];
/** The headers that change what an answer is. */
const ASKING = ['Range', 'Range', 'Range', 'If-None-Match', 'If-Range', 'Accept'];

/** One connection's worth: a request, or several behind each other. */
export function randomRequests(random: Random, targets: Targets): string {
  const count = random.pick([1, 1, 1, 1, 2, 3, 8]);
  const bytes = random.list(count, () => randomRequest(random, targets)).join('');
  return random.chance(0.15) ? mutate(random, bytes) : bytes;
}

function randomRequest(random: Random, targets: Targets): string {
  const method = random.chance(0.9) ? random.pick(['GET', 'GET', 'HEAD']) : random.pick(METHODS);
  const version = random.chance(0.97) ? 'HTTP/1.1' : random.pick(VERSIONS);
  const headers = [
    ...(random.chance(0.97) ? ['Host: mirror'] : []),
    ...random.list(random.pick([0, 0, 1, 2, 4]), () => randomHeader(random, targets)),
    ...(random.chance(0.03) ? flood(random) : []),
  ];
  const end = random.chance(0.98) ? '\r\n' : random.pick(['\n', '\r', '\r\r\n', '']);
  const [framing, body] = random.chance(0.08) ? randomBody(random) : [[], ''];
  return [`${method} ${randomTarget(random, targets)} ${version}`, ...headers, ...framing, '', body].join(
    end,
  );
}

function randomTarget(random: Random, targets: Targets): string {
  const path = random.chance(0.1) ? '' : random.pick(targets.paths);
  const whole = `${random.chance(0.1) ? random.pick(['/docker.io', '/nowhere.test', '/a/b']) : ''}/v2/${path}`;
  const target = random.chance(0.7) ? whole : mutate(random, whole);
  const origin = random.chance(0.03)
    ? random.pick(['http://mirror', 'https://user:pw@x', 'file://', '*', ''])
    : '';
  return origin + target + (random.chance(0.25) ? `?${randomQuery(random)}` : '');
}

function randomQuery(random: Random): string {
  const parameter = () => {
    const name = random.pick(['n', 'last', 'ns', 'artifactType', 'n', 'x', '__proto__']);
    const values: Readonly<Record<string, readonly string[]>> = {
      n: random.chance(0.5) ? ['0', '1', '2', '99999999999999999999'] : NUMBERS.map(encodeURIComponent),
      ns: ['docker.io', 'DOCKER.IO', 'ghcr.io', '127.0.0.1', 'docker.io:443', '..', 'constructor'],
      artifactType: TYPES.map(encodeURIComponent),
    };
    const value = random.chance(0.7) ? random.pick(values[name] ?? ['a', 'z', '3']) : nastyParameter(random);
    return random.chance(0.9) ? `${name}=${value}` : name;
  };
  return random
    .list(random.pick([1, 1, 1, 2, 2, 5, 500]), parameter)
    .join('&')
    .slice(0, 12_000);
}

/** Half of them as a client would write them, so that they come to who has to deal with them. */
function nastyParameter(random: Random): string {
  const text = random.pick(NASTY);
  return random.chance(0.5) ? text : encodeURIComponent(text);
}

function randomHeader(random: Random, { digests }: Targets): string {
  const digest = random.pick(digests);
  const values: Readonly<Record<string, readonly string[]>> = {
    Range: RANGES.map(utf8),
    'If-None-Match': [
      '*',
      `"${digest}"`,
      `W/"${digest}"`,
      digest,
      '"',
      ',,,,',
      '"x",'.repeat(2000),
      utf8('"é"'),
    ],
    'If-Range': [`"${digest}"`, 'Wed, 21 Oct 2015 07:28:00 GMT', '"', ''],
    Accept: [...TYPES, `${TYPES.join(',')},`.repeat(30), ';q=', ',,,'],
    Authorization: ['Bearer x', 'Basic eDp5', 'Basic', `Bearer ${'x'.repeat(9000)}`, 'Negotiate'],
    Connection: ['close', 'keep-alive', 'Upgrade', 'Range, Host', 'x'.repeat(100)],
    Upgrade: ['websocket', 'h2c', 'TLS/1.0'],
    Expect: ['100-continue', '200-ok'],
    Host: ['', 'a b', 'mirror:99999', 'evil.test', '[::1'],
    'Accept-Encoding': ['gzip', 'br;q=1', 'identity;q=0'],
    'Content-Length': ['0', '5', '-1', '1, 1', '99999999999999999999', '0x5', '+5', ''],
    'Transfer-Encoding': [
      'chunked',
      'gzip, chunked',
      'chunked, identity',
      'xchunked',
      '\tchunked',
      'Chunked',
    ],
    'X-Forwarded-Host': ['evil.test'],
    'X-HTTP-Method-Override': ['DELETE'],
    Cookie: ['a=b', ';'.repeat(3000)],
    'Content-Type': ['application/json'],
  };
  const name = random.pick(random.chance(0.5) ? ASKING : Object.keys(values));
  const value = random.chance(0.95) ? random.pick(values[name] ?? ['']) : random.pick(NASTY);
  return random.chance(0.97) ? `${name}: ${value}` : mutate(random, `${name}: ${value}`);
}

function flood(random: Random): string[] {
  const [count, size] = random.pick([
    [100, 10],
    [1900, 0],
    [3000, 3],
    [2, 20_000],
    [60, 250],
  ] as const);
  return random.list(count, (index) => `X-${index}: ${'x'.repeat(size)}`);
}

/** What says where a body ends, and a body that may not. */
function randomBody(random: Random): [readonly string[], string] {
  const length = random.pick([0, 1, 5, 70_000]);
  const content = 'x'.repeat(length);
  const chunk = `${length.toString(16)}\r\n${content}\r\n0\r\n\r\n`;
  const lying = String(random.pick([length, length, length + 10, Math.max(0, length - 1)]));
  return random.pick<[readonly string[], string]>([
    [[`Content-Length: ${lying}`], content],
    [['Transfer-Encoding: chunked'], chunk],
    [['Transfer-Encoding: chunked'], mutate(random, chunk)],
    [
      ['Transfer-Encoding: chunked'],
      `${random.pick(['zz', '-1', 'f'.repeat(20), '5;x="', '5 '])}\r\nxxxxx\r\n0\r\n\r\n`,
    ],
    [['Transfer-Encoding: chunked', `Content-Length: ${lying}`], chunk],
    [['Content-Length: 1', 'Content-Length: 2'], 'xx'],
    [['Expect: 100-continue', `Content-Length: ${lying}`], content],
    [[], content],
  ]);
}
