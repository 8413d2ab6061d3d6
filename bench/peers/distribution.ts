/** CNCF Distribution as a pull-through cache, as Debian packages and configures it: its access log goes to a file. */
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { program } from '../support/programs.ts';
import type { Peer, Running, Setup } from '../support/scenario.ts';
import { freePort, startServer } from '../support/server.ts';

export const distribution: Peer = {
  name: 'distribution',
  get version() {
    const text = execFileSync(program('docker-registry'), ['--version'], { encoding: 'utf8' });
    return /v?(\d+\.\d+\S*)/.exec(text)?.[1] ?? text.trim();
  },
  start,
};

async function start({ upstreamUrl, directory, tls }: Setup): Promise<Running> {
  const port = await freePort();
  const configuration = join(directory, 'config.yml');
  await writeFile(
    configuration,
    // The packaged configuration, but for the password file, the port, the directory and the upstream.
    `version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: ${join(directory, 'data')}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:${port}
  headers:
    X-Content-Type-Options: [nosniff]
${tls ? `  tls:\n    certificate: ${tls.certificate}\n    key: ${tls.key}\n` : ''}health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
proxy:
  remoteurl: ${upstreamUrl}
`,
  );
  return startServer({
    command: [program('docker-registry'), 'serve', configuration],
    directory,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
  });
}
