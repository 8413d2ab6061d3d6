import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Command, serveEnv } from '../support/command.ts';
import { get } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Where what is not bundled is found, as it is beside an installed package. */
let directory: string;
let main: string;

beforeAll(async () => {
  const cache = join(ROOT, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  directory = await mkdtemp(join(cache, 'build-'));
  await cp(join(ROOT, 'package.json'), join(directory, 'package.json'));
  await promisify(execFile)(process.execPath, [join(ROOT, 'scripts/build.ts'), join(directory, 'dist')]);
  main = join(directory, 'dist/main.js');
});

afterAll(() => rm(directory, { recursive: true, force: true }));

async function serveBuild(cwd: string, upstreamUrl: string, workers = '1') {
  const options = { cwd, env: serveEnv({ upstreamUrl, env: { ENTREPOT_WORKERS: workers } }) };
  const command = new Command([process.execPath, main, 'serve'], options);
  await command.until(/"msg":"listening"\}\n/);
  const line = command.log.find(({ msg }) => msg === 'listening');
  return { command, url: String(line?.['registry']), adminUrl: String(line?.['admin']) };
}

describe('the build', () => {
  it.each(['1', '2'])(
    'mirrors an image with %s workers, and serves it without its upstream',
    async (workers) => {
      await using cwd = await tempDir();
      await using upstream = await ScriptedUpstream.start();
      const image = buildImage({ layerSize: 300_000 });
      upstream.push('library/app', 'latest', image);
      const { command, url, adminUrl } = await serveBuild(cwd.path, upstream.url, workers);
      await using _command = command;
      for (let time = 0; time < 2; time += 1) {
        expect((await get(`${url}/v2/library/app/manifests/latest`)).body).toEqual(image.manifest.bytes);
        for (const { digest, bytes } of image.blobs) {
          const { status, body } = await get(`${url}/v2/library/app/blobs/${digest}`);
          expect({ status, isRight: body.equals(bytes) }).toEqual({ status: 200, isRight: true });
        }
        await upstream.stop();
      }
      expect((await get(`${adminUrl}/readyz`)).status).toBe(200);
      expect((await get(`${adminUrl}/metrics`)).body.toString()).toContain('entrepot_');
    },
  );

  it('serves the web page, which is below 100 kB', async () => {
    await using cwd = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const { command, adminUrl } = await serveBuild(cwd.path, upstream.url);
    await using _command = command;
    const files = await Promise.all(
      ['', 'main.js', 'style.css', 'icon.svg'].map((name) => get(`${adminUrl}/${name}`)),
    );
    expect(files.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(files.reduce((sum, { body }) => sum + body.length, 0)).toBeLessThan(100_000);
  });

  it('looks after what a crash has left', async () => {
    await using cwd = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const first = await serveBuild(cwd.path, upstream.url);
    first.command.kill('SIGKILL');
    await first.command.exited;
    const { command } = await serveBuild(cwd.path, upstream.url);
    await using _command = command;
    await command.until('the index was reconciled');
    expect(command.stdout).not.toContain('a job failed');
  });

  it('names in its stack traces what the sources name', async () => {
    await using cwd = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const { command, url } = await serveBuild(cwd.path, upstream.url);
    await using _command = command;
    await upstream.stop();
    expect((await get(`${url}/v2/library/app/manifests/latest`)).status).toBe(503);
    await command.until(/"stack":"[^"]* RegistryUpstream\.resolve \(/);
  });

  it('has the licences of what is bundled', async () => {
    const text = await readFile(join(directory, 'dist/LICENSES.txt'), 'utf8');
    for (const name of ['express', 'pino', 'undici', 'zod'])
      expect(text).toMatch(new RegExp(`^${name} \\d`, 'm'));
    expect(text).not.toMatch(/^vitest \d/m);
  });
});
