/** JSON of any shape and size: some of it nearly what is expected, some of it what no parser likes. */
import type { Random } from '../../support/random.ts';

const KEYS = [
  ...[
    'schemaVersion',
    'mediaType',
    'artifactType',
    'config',
    'layers',
    'manifests',
    'subject',
    'annotations',
  ],
  ...[
    'digest',
    'size',
    'data',
    'urls',
    'blobs',
    'fsLayers',
    'name',
    'tags',
    'token',
    'access_token',
    'expires_in',
  ],
  ...[
    'errors',
    'code',
    'message',
    'detail',
    '__proto__',
    'constructor',
    'toString',
    'length',
    '',
    'then',
    'toJSON',
  ],
];
const NUMBERS = [
  ...[
    '0',
    '-0',
    '-1',
    '2',
    '1e3',
    '1e400',
    '-1e400',
    '1e-400',
    '0.1',
    '9007199254740993',
    '18446744073709551616',
  ],
  '9'.repeat(400),
];
const HEX = 'b'.repeat(64);
const STRINGS = [
  ...[
    '',
    'latest',
    '3',
    'a tag with spaces',
    '../../etc/passwd',
    `sha256:${HEX}`,
    `sha512:${HEX}`,
    'sha256:zz',
  ],
  ...['application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json', 'text/html'],
  ...['\\u0000', '\\ud800', '\\r\\nX-Injected: 1', 'x'.repeat(3000), 'https://127.0.0.1:1/'],
];

/** A value as text; members may come twice, and some of it is no JSON at all. */
export function randomJson(random: Random, depth = 0): string {
  const kind = depth > 4 ? random.below(4) : random.below(9);
  switch (kind) {
    case 0:
      return random.pick(NUMBERS);
    case 1:
    case 2:
      return `"${random.pick(STRINGS)}"`;
    case 3:
      return random.pick(['null', 'true', 'false', '{}', '[]', 'NaN', "'x'", '']);
    case 4:
      return random.chance(0.1) ? nested(random) : `[${many(random, () => randomJson(random, depth + 1))}]`;
    default:
      return `{${many(random, () => `"${random.pick(KEYS)}":${randomJson(random, depth + 1)}`)}}`;
  }
}

/** Deeper than any stack. */
export function nested(random: Random): string {
  const depth = random.pick([100, 10_000, 200_000]);
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const);
  return open.repeat(depth) + (random.chance(0.8) ? '1' + close.repeat(depth) : '');
}

function many(random: Random, make: () => string): string {
  return random.list(random.pick([0, 1, 2, 3, 8]), make).join(',');
}

/** Something close to a descriptor. */
export function randomDescriptor(random: Random): string {
  const members = {
    mediaType: '"application/vnd.oci.image.layer.v1.tar+gzip"',
    digest: `"sha256:${random.pick(['a', 'b', 'c']).repeat(64)}"`,
    size: '100',
    ...(random.chance(0.3) ? { annotations: random.chance(0.9) ? '{"a":"b"}' : nested(random) } : {}),
    ...(random.chance(0.3) ? { artifactType: '"application/spdx+json"' } : {}),
  };
  return nearly(random, members, 0.1);
}

/** Something close to a manifest or an index. */
export function randomManifest(random: Random): string {
  const isIndex = random.chance(0.4);
  const kind = isIndex ? 'index' : 'manifest';
  const descriptors = () => `[${many(random, () => randomDescriptor(random))}]`;
  const members: Record<string, string> = {
    schemaVersion: '2',
    mediaType: `"application/vnd.oci.image.${kind}.v1+json"`,
    ...(isIndex ? { manifests: descriptors() } : { config: randomDescriptor(random), layers: descriptors() }),
    subject: randomDescriptor(random),
    annotations: '{"org.opencontainers.image.created":"2024-01-01T00:00:00Z"}',
  };
  return nearly(random, members, 0.05);
}

/** The members, each of which may be something else, be there twice or have a strange one behind it. */
export function nearly(random: Random, members: Readonly<Record<string, string>>, chance: number): string {
  const texts = Object.entries(members).flatMap(([name, value]) => {
    const member = `"${name}":${random.chance(chance) ? randomJson(random, 1) : value}`;
    const extra = random.chance(chance / 2) ? [`"${random.pick(KEYS)}":${randomJson(random, 1)}`] : [];
    return random.chance(chance / 2) ? [member, member, ...extra] : [member, ...extra];
  });
  return `{${texts.join(',')}}`;
}
