/** A machine with Debian's containerd, driven by ctr, whose hosts.toml for docker.io names the mirror. */
import { rm, writeFile } from 'node:fs/promises';
import { nameOf, type CatalogImage } from './catalog.ts';
import type { Daemon } from './daemon.ts';
import type { Mirror } from './mirror.ts';
import { hostName, mustBeEmpty, type PullingHost } from './pulling-host.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

export class ContainerdHost implements PullingHost {
  readonly #dir: string;
  readonly #daemon: Daemon;
  #containers = 0;

  private constructor(dir: string, daemon: Daemon) {
    this.#dir = dir;
    this.#daemon = daemon;
  }

  static async open(workspace: Workspace, mirror: Mirror): Promise<ContainerdHost> {
    const hostname = hostName('containerd');
    const dir = await workspace.folder(hostname);
    await workspace.folder(hostname, 'certs.d', 'docker.io');
    await writeFile(`${dir}/config.toml`, configToml(dir));
    await writeFile(`${dir}/certs.d/docker.io/hosts.toml`, hostsToml(mirror));
    const daemon = await workspace.start({
      name: hostname,
      argv: ['containerd', '--config', `${dir}/config.toml`],
      machine: { hostname },
      isReady: async () => (await run(ctrArgv(dir, ['version']))) !== '',
    });
    return new ContainerdHost(dir, daemon);
  }

  async pull(image: CatalogImage): Promise<void> {
    await this.#ctr('images', 'pull', '--hosts-dir', `${this.#dir}/certs.d`, nameOf(image));
  }

  async check(image: CatalogImage): Promise<void> {
    this.#containers += 1;
    const name = `check-${this.#containers}`;
    mustBeEmpty(image, await this.#ctr('run', '--rm', nameOf(image), name, ...image.check));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #ctr(...args: readonly string[]): Promise<string> {
    return run(ctrArgv(this.#dir, args));
  }
}

function ctrArgv(dir: string, args: readonly string[]): string[] {
  return ['ctr', '--address', `${dir}/socket`, ...args];
}

function configToml(dir: string): string {
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${dir}/socket"
`;
}

function hostsToml(mirror: Mirror): string {
  return `server = "https://registry-1.docker.io"
[host."${mirror.url}"]
  capabilities = ["pull", "resolve"]
`;
}
