/** A machine with Debian's dockerd, whose daemon.json names the mirror. */
import { rm, writeFile } from 'node:fs/promises';
import { nameOf, type CatalogImage } from './catalog.ts';
import type { Daemon } from './daemon.ts';
import type { Mirror } from './mirror.ts';
import type { NetworkHost } from './network.ts';
import { hostName, mustBeEmpty, type PullingHost } from './pulling-host.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

export class DockerHost implements PullingHost {
  readonly #dir: string;
  readonly #daemon: Daemon;

  private constructor(dir: string, daemon: Daemon) {
    this.#dir = dir;
    this.#daemon = daemon;
  }

  /** @param settings of its daemon.json */
  static async open(
    workspace: Workspace,
    mirror: Pick<Mirror, 'url'>,
    host?: NetworkHost,
    settings: Readonly<Record<string, unknown>> = {},
  ): Promise<DockerHost> {
    const hostname = host?.hostname ?? hostName('dockerd');
    const dir = await workspace.folder(hostname);
    await writeFile(`${dir}/daemon.json`, JSON.stringify({ ...daemonJson(dir, mirror), ...settings }));
    const daemon = await workspace.start({
      name: hostname,
      argv: ['dockerd', '--config-file', `${dir}/daemon.json`],
      machine: { hostname, network: host?.network },
      isReady: async () => (await run(dockerArgv(dir, ['version']))) !== '',
    });
    return new DockerHost(dir, daemon);
  }

  get socket(): string {
    return socketIn(this.#dir);
  }

  docker(...args: readonly string[]): Promise<string> {
    return run(this.argv(...args));
  }

  /** The command line of a docker client that talks to this machine. */
  argv(...args: readonly string[]): string[] {
    return dockerArgv(this.#dir, args);
  }

  async pull(image: CatalogImage): Promise<void> {
    await this.docker('pull', nameOf(image));
  }

  async check(image: CatalogImage): Promise<void> {
    const options = ['--rm', '--network=none'];
    mustBeEmpty(image, await this.docker('run', ...options, nameOf(image), ...image.check));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

function dockerArgv(dir: string, args: readonly string[]): string[] {
  return ['docker', '--host', `unix://${socketIn(dir)}`, ...args];
}

function socketIn(dir: string): string {
  return `${dir}/socket`;
}

/** Docker Hub itself stays the last endpoint, always; it cannot be reached from where the tests run. */
function daemonJson(dir: string, mirror: Pick<Mirror, 'url'>): Record<string, unknown> {
  return {
    'registry-mirrors': [mirror.url],
    hosts: [`unix://${socketIn(dir)}`],
    'data-root': `${dir}/data`,
    'exec-root': `${dir}/exec`,
    pidfile: `${dir}/pid`,
    'deprecated-key-path': `${dir}/key.json`,
    // The machines' network is the tests' own: dockerd is to leave it alone.
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    'ip-forward': false,
  };
}
