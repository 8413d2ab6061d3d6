/** Answers of a registry as bytes: nearly right ones, and what no server should send. */
import { digestOf } from '../../../src/oci/digest.ts';
import type { Random } from '../../support/random.ts';
import { nearly, nested, randomDescriptor, randomJson, randomManifest } from './json.ts';
import { mutate, NASTY } from './mutate.ts';
import type { Answer, Asked } from './raw-server.ts';

interface Message {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const STATUSES = [
  100, 101, 103, 199, 200, 201, 204, 206, 226, 300, 301, 302, 303, 304, 305, 307, 308, 309, 400,
];
const ERRORS = [
  401, 401, 401, 402, 403, 404, 405, 406, 408, 410, 416, 418, 421, 425, 429, 451, 499, 500, 501, 502,
];
const FRAMING = [
  'content-length',
  'transfer-encoding',
  'content-encoding',
  'connection',
  'trailer',
  'content-type',
];
const FRAMES = [
  '0',
  '1',
  '-1',
  '99999999999',
  '9'.repeat(30),
  'x',
  'chunked',
  'gzip',
  'br',
  'close',
  'text/html',
  '',
];
const IMAGE = 'application/vnd.oci.image';

/** @param base where the server is, for links and realms */
export function randomAnswer(random: Random, asked: Asked, base: string): Answer {
  const right = rightAnswer(random, asked, base);
  const message = random.chance(0.35) ? right : wrongAnswer(random, right, base);
  const head = random.chance(0.12) ? mutate(random, headOf(random, message)) : headOf(random, message);
  const isWithoutBody = asked.method === 'HEAD' && random.chance(0.9);
  const [body, isEndless] = isWithoutBody ? ['', false] : bodyOf(random, message);
  const early = random.chance(0.03) ? ['HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n'] : [];
  const cut = random.chance(0.1) ? random.below(body.length + 1) : body.length;
  const pieces = [...early, ...slices(random, head + body.slice(0, cut))];
  if (isEndless) return { pieces: [...pieces, body], then: 'endless' };
  const isWhole = cut === body.length && message === right;
  const then =
    isWhole && random.chance(0.8) ? 'keep' : random.pick(['keep', 'fin', 'fin', 'rst', 'stall'] as const);
  if (random.chance(0.01))
    return {
      pieces: [random.pick(['HTTP/1.1 103 x\r\n\r\n', 'X: y\r\n', '\r\n', 'HTTP/1.1 ', '\0'])],
      then: 'endless',
    };
  return { pieces, then };
}

function rightAnswer(random: Random, { method, target, headers }: Asked, base: string): Message {
  if (target.startsWith('/token')) return json({ token: '"abc"', expires_in: '300' }, random);
  if (random.chance(0.1)) return challenge(random, base);
  if (target.includes('/manifests/')) {
    const body = random.chance(0.02)
      ? nested(random)
      : Buffer.from(randomManifest(random)).toString('latin1');
    const kind = body.includes('"manifests"') ? 'index' : 'manifest';
    const digest = random.chance(0.9) ? digestOf(Buffer.from(body, 'latin1')) : `sha256:${'0'.repeat(64)}`;
    return {
      status: 200,
      headers: { 'content-type': `${IMAGE}.${kind}.v1+json`, 'docker-content-digest': digest },
      body,
    };
  }
  if (target.includes('/tags/'))
    return json(
      { name: '"a"', tags: `["1","${random.pick(['2', 'x y', '..'])}"]` },
      random,
      paged(random, target),
    );
  if (target.includes('/referrers/')) {
    const manifests = `[${random.list(3, () => randomDescriptor(random)).join(',')}]`;
    const type = { 'content-type': `${IMAGE}.index.v1+json` };
    return json({ schemaVersion: '2', manifests }, random, { ...type, ...paged(random, target) });
  }
  const body = 'x'.repeat(random.pick([0, 1, 100, 300_000]));
  const [, start] = /^range: bytes=(\d+)-/im.exec(headers) ?? [];
  if (start === undefined || method === 'HEAD' || random.chance(0.3))
    return { status: 200, headers: {}, body };
  const size = random.pick(['*', String(Number(start) + body.length), '1', '9'.repeat(25)]);
  const range = `bytes ${random.pick([start, start, start, '0'])}-${Number(start) + Math.max(0, body.length - 1)}/${size}`;
  return { status: 206, headers: { 'content-range': range }, body };
}

function wrongAnswer(random: Random, right: Message, base: string): Message {
  switch (random.below(6)) {
    case 0:
      return { ...right, status: random.pick(STATUSES) };
    case 1: {
      const headers = {
        'retry-after': random.pick(['1', '-1', '9'.repeat(30), 'Wed', new Date().toUTCString()]),
      };
      return {
        status: random.pick(ERRORS),
        headers,
        body: random.pick([randomJson(random), right.body, nested(random)]),
      };
    }
    case 2:
      return {
        ...right,
        body: random.pick([randomJson(random), mutate(random, right.body), nested(random), '']),
      };
    case 3:
      return { ...right, headers: { ...right.headers, [random.pick(FRAMING)]: random.pick(FRAMES) } };
    case 4:
      return redirect(random, base);
    default:
      return challenge(random, base);
  }
}

function redirect(random: Random, base: string): Message {
  const path = `/v2/a/${random.pick(['blobs', 'manifests', 'x'])}/${'y'.repeat(random.pick([1, 2000]))}`;
  const location = random.pick([
    ...[
      path,
      `${base}${path}`,
      '',
      '//',
      '///',
      'http:',
      'http://',
      'file:///etc/passwd',
      'data:text/plain,x',
      '#',
    ],
    ...[
      'http://user:pw@127.0.0.1:1/',
      'http://[::1',
      'http://127.1:99999/',
      'https://127.0.0.1:1/',
      'javascript:1',
    ],
    ...[
      'http://0/',
      'http://\x80/',
      `${base}/${'a'.repeat(9000)}`,
      mutate(random, `${base}${path}`),
      '\\\\x\\y',
      '?',
    ],
  ]);
  return { status: random.pick([301, 302, 303, 307, 308]), headers: { location }, body: '' };
}

function challenge(random: Random, base: string): Message {
  const realm = random.pick([
    `${base}/token`,
    `${base}/token`,
    `${base}/token?a=b#c`,
    '',
    'x',
    'http://[',
    'ftp://x/',
  ]);
  const parameters = {
    realm: random.chance(0.8) ? realm : mutate(random, realm),
    service: random.pick(['registry', '', 'é', 'x'.repeat(5000)]),
    scope: random.pick(['repository:a:pull', '', 'aws', 'repository:other:push,pull', 'x '.repeat(1000)]),
    error: random.pick(['invalid_token', 'insufficient_scope']),
  };
  const text = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`);
  const header = random.pick([
    `Bearer ${text.join(',')}`,
    'Bearer',
    'Basic realm="x"',
    'Basic',
    `Basic, Bearer ${text.join(' ')}`,
    ',,,',
    'Negotiate x==',
  ]);
  const value = random.chance(0.8) ? header : mutate(random, header);
  return {
    status: random.pick([401, 401, 401, 400, 403]),
    headers: { 'www-authenticate': value },
    body: randomJson(random),
  };
}

/** A list has a next page with a link of any kind, and sometimes without an end. */
function paged(random: Random, target: string): Readonly<Record<string, string>> {
  if (random.chance(0.6)) return {};
  const link = random.pick([
    ...[
      `<${target}>; rel="next"`,
      `</v2/a/tags/list?n=1&last=${random.below(1000)}>; rel="next"`,
      '<?x>',
      '<>',
    ],
    ...[
      '<http://127.0.0.1:1/x>; rel=next',
      '<//>; rel=next',
      '<http://[>; rel=next',
      `<${'x'.repeat(8000)}>`,
    ],
    mutate(random, '</v2/a/tags/list?last=1>; rel="next"'),
  ]);
  return { link };
}

function json(
  members: Readonly<Record<string, string>>,
  random: Random,
  headers: Readonly<Record<string, string>> = {},
): Message {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...headers },
    body: nearly(random, members, 0.15),
  };
}

function headOf(random: Random, { status, headers, body }: Message): string {
  const isFramed = 'content-length' in headers || 'transfer-encoding' in headers || random.chance(0.05);
  const lines = Object.entries({
    ...(isFramed ? {} : { 'content-length': String(body.length) }),
    ...headers,
    ...(random.chance(0.2) ? { 'ratelimit-limit': random.pick(['100;w=1', '-1', '9'.repeat(20), 'x']) } : {}),
    ...(random.chance(0.02) ? { 'x-flood': 'x'.repeat(random.pick([1000, 20_000, 1_000_000])) } : {}),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const repeated = random.chance(0.05) && lines.length > 0 ? [random.pick(lines)] : [];
  const nasty = random.chance(0.05) ? [`X-Nasty: ${random.pick(NASTY)}\r\n`] : [];
  const flood = random.chance(0.01) ? random.list(20_000, (index) => `X-${index}: y\r\n`) : [];
  const version = random.chance(0.97)
    ? 'HTTP/1.1'
    : random.pick(['HTTP/1.0', 'HTTP/2', 'HTTP/9.9', 'ICY', '']);
  return `${version} ${status} Whatever\r\n${[...lines, ...repeated, ...nasty, ...flood].join('')}\r\n`;
}

/** The body as its headers have it, nearly; and whether it goes on for ever. */
function bodyOf(random: Random, { headers, body }: Message): [string, boolean] {
  const isChunked = headers['transfer-encoding'] === 'chunked';
  if (random.chance(0.01)) {
    const filling = '[1,2,3,4]'.repeat(5000);
    return isChunked ? [`${filling.length.toString(16)}\r\n${filling}\r\n`, true] : [filling, true];
  }
  if (!isChunked) return [body + (random.chance(0.05) ? random.pick(NASTY) : ''), false];
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  return [random.chance(0.6) ? chunks : mutate(random, chunks), false];
}

function slices(random: Random, text: string): string[] {
  if (random.chance(0.8) || text.length > 100_000) return [text];
  const size = random.pick([1, 10, 1000]);
  const length = Math.min(500, Math.ceil(text.length / size));
  return [
    ...random.list(length, (index) => text.slice(index * size, (index + 1) * size)),
    text.slice(length * size),
  ];
}
