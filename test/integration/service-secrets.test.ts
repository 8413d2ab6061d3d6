import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Command, serveEnv } from '../support/command.ts';
import { get, open, request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { sendRaw } from '../support/raw-http.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const PASSWORD = 'pass-5f0c7a';
const TOKEN = 'token-b81e22';
const WRONG = 'wrong-93dd01';
const LEAKED = 'leaked-4410fe';
/** What a client sends that is meant for somebody else; dockerd does. */
const OF_CLIENT = ['basic-e7c9', 'cookie-a23f', 'proxy-11bd', 'key-c0de5', 'query-7d7d', 'fragment-88'];
const CLIENT_HEADERS = {
  authorization: `Basic ${Buffer.from('someone:basic-e7c9').toString('base64')}`,
  cookie: 'session=cookie-a23f',
  'proxy-authorization': 'Bearer proxy-11bd',
  'x-api-key': 'key-c0de5',
};
const QUERY = 'access_token=query-7d7d&token=query-7d7d#fragment-88';

function encoded(secret: string): readonly string[] {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return [secret, base64(secret), base64(`robot:${secret}`), base64(`someone:${secret}`)];
}

/** A registry whose token service sends the token in what is no valid HTTP. */
async function startBrokenRegistry(): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => {
      const isToken = bytes.toString().startsWith('GET /token');
      const challenge = `Bearer realm="http://${host()}/token",service="broken"`;
      socket.end(
        isToken
          ? `HTTP/1.1 200 OK\r\nSet-Cookie: ${LEAKED}\r\nContent-Length: x\r\n\r\n{"token":"${LEAKED}"}`
          : `HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: ${challenge}\r\nContent-Length: 0\r\n\r\n`,
      );
    });
  });
  const host = () => `127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://${host()}`, server };
}

describe('what the mirror logs, counts and answers', () => {
  it('has no credential of an upstream or of a client in it, at any level, however things end', async () => {
    await using cwd = await tempDir();
    const account = { username: 'robot', password: PASSWORD };
    await using bearer = await ScriptedUpstream.start({ credentials: account, allowAnonymous: false });
    await using basic = await ScriptedUpstream.start({ credentials: account, auth: 'basic' });
    await using open_ = await ScriptedUpstream.start({ auth: 'none' });
    await using strict = await ScriptedUpstream.start({ credentials: account, allowAnonymous: false });
    const broken = await startBrokenRegistry();
    const file = [
      'log: { level: trace }',
      'upstreams:',
      `  - { url: ${bearer.url}, namespaces: bearer.test, username: robot, password: ${PASSWORD} }`,
      `  - { url: ${basic.url}, namespaces: basic.test, username: robot, password: ${PASSWORD} }`,
      `  - { url: ${open_.url}, namespaces: token.test, token: ${TOKEN} }`,
      `  - { url: ${strict.url}, namespaces: wrong.test, username: robot, password: ${WRONG} }`,
      `  - { url: ${broken.url}, namespaces: broken.test, username: robot, password: ${PASSWORD} }`,
    ];
    await writeFile(join(cwd.path, 'entrepot.yaml'), file.join('\n'));
    const { ENTREPOT_UPSTREAM_URL: _none, ENTREPOT_LOG_LEVEL: _info, ...env } = serveEnv({ upstreamUrl: '' });
    await using command = Command.start(['-c', 'entrepot.yaml'], { cwd: cwd.path, env });
    await command.until(/"msg":"listening"\}\n/);
    const listening = command.log.find(({ msg }) => msg === 'listening');
    const [url, adminUrl] = [String(listening?.['registry']), String(listening?.['admin'])];

    const image = buildImage({ layers: [randomBytes('secret', 600_000)] });
    const layer = image.layers[0]!.digest;
    const told: string[] = [];
    const ask = async (path: string, namespace: string, method = 'GET') => {
      const target = `${url}/v2/library/alpine/${path}?ns=${namespace}&${QUERY}`;
      const { status, body, rawHeaders } = await request(target, { method, headers: CLIENT_HEADERS });
      if (status >= 300) told.push(body.toString());
      told.push(JSON.stringify(rawHeaders));
      return { status, body };
    };
    for (const upstream of [bearer, basic, open_]) upstream.push('library/alpine', '3', image);
    // A CDN that breaks off, and then one that refuses: its URLs are signed.
    bearer.fault({ kind: 'cdn' }, { cut: { by: 'rst', afterBytes: 300_000 } });
    bearer.fault({ kind: 'cdn' }, { reply: { status: 403 } });
    for (const namespace of ['bearer.test', 'basic.test', 'token.test']) {
      expect((await ask('manifests/3', namespace)).status).toBe(200);
      const { status, body } = await ask(`blobs/${layer}`, namespace);
      expect({ status, digest: digestOf(body) }).toEqual({ status: 200, digest: layer });
      await ask('tags/list', namespace);
      await ask(`referrers/${layer}`, namespace);
      await ask('manifests/missing', namespace);
    }
    for (const namespace of ['wrong.test', 'broken.test', 'nobody.test']) {
      const { status } = await ask('manifests/3', namespace);
      expect(status).toBeGreaterThanOrEqual(400);
      await ask(`blobs/${layer}`, namespace);
      await ask('tags/list', namespace);
    }
    await ask('manifests/3', 'bearer.test', 'PUT');
    await ask('manifests/bad:tag', 'bearer.test');
    await get(`${url}/nowhere?${QUERY}`, { headers: CLIENT_HEADERS });
    await sendRaw(url, `GARBAGE /?${QUERY}\r\nAuthorization: Bearer basic-e7c9\r\n\r\n`);
    const left = await open(`${url}/v2/library/alpine/blobs/${layer}?${QUERY}`, { headers: CLIENT_HEADERS });
    left.destroy();
    await Promise.all([bearer.stop(), basic.stop(), open_.stop()]);
    await ask('manifests/other', 'bearer.test');
    told.push((await get(`${adminUrl}/metrics`)).body.toString());
    told.push((await get(`${adminUrl}/nowhere?${QUERY}`)).body.toString());
    broken.server.close();
    command.kill('SIGTERM');
    expect((await command.exited).code).toBe(0);

    const upstreams = [bearer, basic, open_, strict];
    const sent = upstreams.flatMap(({ requests }) => requests);
    const authorizations = sent.flatMap(({ headers }) => headers.authorization?.split(' ')[1] ?? []);
    const signatures = sent
      .filter(({ origin }) => origin === 'cdn')
      .flatMap(({ query }) => [...query.values()]);
    // So that it is known that they were there to be leaked.
    expect(authorizations.some((value) => value.startsWith('token-'))).toBe(true);
    expect(authorizations).toEqual(expect.arrayContaining([TOKEN, encoded(PASSWORD)[2], encoded(WRONG)[2]]));
    expect(signatures.filter((value) => value.length > 8).length).toBeGreaterThan(0);
    expect(sent.filter(({ headers }) => headers.cookie ?? headers['x-api-key'])).toEqual([]);

    const secrets = new Set([
      ...[PASSWORD, TOKEN, WRONG, LEAKED, ...OF_CLIENT].flatMap(encoded),
      ...authorizations,
      ...signatures.filter((value) => value.length > 8),
    ]);
    const text = [command.stdout, command.stderr, ...told].join('\n');
    expect(command.log.filter(({ requestId }) => requestId !== undefined).length).toBeGreaterThan(25);
    const leaks = text.split('\n').filter((line) => [...secrets].some((secret) => line.includes(secret)));
    expect(leaks).toEqual([]);
  });
});
