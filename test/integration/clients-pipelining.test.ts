/** Clients that send requests ahead of the answers to others: each gets its own, in order, to the last byte. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const given = useMirror();

interface Asked {
  readonly method: 'GET' | 'HEAD';
  readonly path: string;
}

interface Answered {
  readonly status: number;
  readonly digest: string | undefined;
  readonly body: Buffer;
}

/** All at once on one connection, the last of which ends it. */
async function pipeline(asked: readonly Asked[]): Promise<readonly Answered[]> {
  const { hostname, port } = new URL(given.mirror.url);
  const socket = connect(Number(port), hostname);
  socket.write(
    asked
      .map(({ method, path }, index) => {
        const end = index === asked.length - 1 ? 'Connection: close\r\n' : '';
        return `${method} ${path} HTTP/1.1\r\nHost: mirror\r\n${end}\r\n`;
      })
      .join(''),
  );
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return answersIn(Buffer.concat(chunks), asked);
}

function answersIn(bytes: Buffer, asked: readonly Asked[]): readonly Answered[] {
  let position = 0;
  const answers = asked.map(({ method }) => {
    const end = bytes.indexOf('\r\n\r\n', position) + 4;
    const head = bytes.toString('latin1', position, end);
    const [, status = ''] = /^HTTP\/1\.1 (\d{3}) /.exec(head) ?? [];
    const [, length = ''] = /^content-length: (\d+)\r$/im.exec(head) ?? [];
    const [, digest] = /^docker-content-digest: (.*)\r$/im.exec(head) ?? [];
    position = end + (method === 'HEAD' ? 0 : Number(length));
    return { status: Number(status), digest, body: bytes.subarray(end, position) };
  });
  expect(position).toBe(bytes.length);
  return answers;
}

async function askAlone({ method, path }: Asked): Promise<Answered> {
  const { status, headers, body } = await request(given.mirror.url + path, { method });
  return { status, digest: headers['docker-content-digest'] as string | undefined, body };
}

/** Manifests, blobs in memory and on disk, lists, and what is not there. */
function pushContent(): readonly Asked[] {
  const image = buildImage({ layers: [randomBytes('small', 1000), randomBytes('middling', 200_000)] });
  given.upstream.push(REPOSITORY, '3', image);
  const paths = [
    '/v2/',
    `/v2/${REPOSITORY}/manifests/3`,
    `/v2/${REPOSITORY}/manifests/${image.manifest.digest}`,
    ...image.blobs.map(({ digest }) => `/v2/${REPOSITORY}/blobs/${digest}`),
    `/v2/${REPOSITORY}/tags/list`,
    `/v2/${REPOSITORY}/manifests/none`,
    `/v2/NOT/valid/manifests/3`,
  ];
  return paths.flatMap((path) => [{ method: 'GET', path } as const, { method: 'HEAD', path } as const]);
}

describe('a client that sends a thousand requests and then listens', () => {
  it('gets a thousand answers, each what it gets on a connection of its own', async () => {
    const kinds = pushContent();
    const cold = await pipeline(kinds);
    const alone = await Promise.all(kinds.map(askAlone));
    expect(cold).toEqual(alone);

    const asked = Array.from({ length: 1000 }, (_, index) => kinds[(index * 7) % kinds.length]!);
    const expected = Array.from({ length: 1000 }, (_, index) => alone[(index * 7) % kinds.length]!);
    const answers = await pipeline(asked);
    expect(answers.map(({ status, digest }) => ({ status, digest }))).toEqual(
      expected.map(({ status, digest }) => ({ status, digest })),
    );
    expect(answers.every(({ body }, index) => body.equals(expected[index]!.body))).toBe(true);
  });

  it('gets them too where large blobs are between the small ones', async () => {
    const bytes = randomBytes('large', 24 * MIB);
    const large = `/v2/${REPOSITORY}/blobs/${given.upstream.pushBlob(REPOSITORY, bytes)}`;
    const [, ...kinds] = pushContent();
    for (const state of ['cold', 'warm']) {
      const asked: Asked[] = [
        ...kinds,
        { method: 'GET', path: large },
        ...kinds,
        { method: 'HEAD', path: large },
        { method: 'GET', path: large },
        ...kinds,
      ];
      const answers = await pipeline(asked);
      const expected = await Promise.all(asked.map(askAlone));
      expect(answers.map(({ status }) => status)).toEqual(expected.map(({ status }) => status));
      const isRight = answers.map(({ body }, index) => body.equals(expected[index]!.body));
      expect({ state, wrong: isRight.indexOf(false) }).toEqual({ state, wrong: -1 });
    }
    // The three blobs of the image, and the large one.
    expect(given.upstream.count({ kind: 'cdn', method: 'GET' })).toBe(4);
  });
});
