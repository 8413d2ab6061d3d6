/** Holds Debian's docker-registry (Distribution 2.8) to the contract that the scripted upstream is held to. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { registryContract, type RegistryHarness } from '../contract/registry.contract.ts';
import { request, type RequestOptions, type Response } from '../support/http.ts';
import type { Pushable } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

registryContract('Distribution', startDistribution, { pagesTags: false, hasReferrers: false });

async function startDistribution(): Promise<RegistryHarness> {
  const dir = await tempDir();
  const config = {
    version: '0.1',
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: join(dir.path, 'registry') } },
    http: { addr: '127.0.0.1:0', secret: 'contract' },
  };
  const configFile = join(dir.path, 'config.yml');
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
  const stop = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    await dir[Symbol.asyncDispose]();
  };
  try {
    const url = await addressOf(child);
    return {
      url,
      push: (repository, tag, image) => push(`${url}/v2/${repository}`, tag, image),
      [Symbol.asyncDispose]: stop,
    };
  } catch (cause) {
    await stop();
    throw new Error('docker-registry (Debian package docker-registry) is needed here and did not start', {
      cause,
    });
  }
}

/** The port is of the OS's choice, and told in the log. */
async function addressOf(child: ChildProcess): Promise<string> {
  const failed = Promise.withResolvers<never>();
  child.once('error', (error) => failed.reject(error));
  child.once('exit', (code) => failed.reject(new Error(`docker-registry ended with code ${String(code)}`)));
  const lines: string[] = [];
  const listening = new Promise<string>((resolve) => {
    // Read on to the end of the process: it would block on a full pipe.
    createInterface({ input: child.stderr! }).on('line', (line) => {
      lines.push(line);
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (address !== undefined) resolve(`http://${address}`);
    });
  });
  try {
    return await Promise.race([listening, failed.promise]);
  } catch (cause) {
    throw new Error(`docker-registry says:\n${lines.join('\n')}`, { cause });
  }
}

async function push(repositoryUrl: string, tag: string | undefined, image: Pushable): Promise<void> {
  for (const child of image.children) await push(repositoryUrl, undefined, child);
  for (const { digest, bytes } of image.blobs) {
    const upload = await expecting(202, `${repositoryUrl}/blobs/uploads/`, { method: 'POST', body: '' });
    const location = new URL(upload.headers.location ?? '', repositoryUrl);
    location.searchParams.set('digest', digest);
    await expecting(201, location.href, {
      method: 'PUT',
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
    });
  }
  const { digest, bytes, mediaType } = image.manifest;
  await expecting(201, `${repositoryUrl}/manifests/${tag ?? digest}`, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-type': mediaType },
  });
}

async function expecting(status: number, url: string, options: RequestOptions): Promise<Response> {
  const response = await request(url, options);
  if (response.status === status) return response;
  throw new Error(
    `${options.method ?? ''} ${url}: ${response.status} instead of ${status}\n${response.body.toString()}`,
  );
}
