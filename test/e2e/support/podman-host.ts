/** A machine with Debian's podman. */
import { rm } from 'node:fs/promises';
import { nameOf, type CatalogImage } from './catalog.ts';
import type { Mirror } from './mirror.ts';
import { hostName, mustBeEmpty, type PullingHost } from './pulling-host.ts';
import { writeRegistriesConf } from './registries-conf.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

export class PodmanHost implements PullingHost {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(workspace: Workspace, mirror: Mirror): Promise<PodmanHost> {
    const dir = await workspace.folder(hostName('podman'));
    await writeRegistriesConf(`${dir}/registries.conf`, mirror);
    return new PodmanHost(dir);
  }

  async pull(image: CatalogImage): Promise<void> {
    await this.#podman('pull', nameOf(image));
  }

  async check(image: CatalogImage): Promise<void> {
    // Podman's own limits are higher than those that a machine may have allowed the tests.
    const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1024:1024'];
    const options = ['--rm', '--network=none', ...limits];
    mustBeEmpty(image, await this.#podman('run', ...options, nameOf(image), ...image.check));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A pull that failed has left the storage mounted; a command that ends well does not.
    await this.#podman('images');
    // What cleans up behind a container may still be at it.
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 10 });
  }

  /** With runc, since crun refuses a machine that has both versions of control groups. */
  #podman(...args: readonly string[]): Promise<string> {
    const storage = ['--root', `${this.#dir}/root`, '--runroot', `${this.#dir}/run`];
    const options = [...storage, '--tmpdir', `${this.#dir}/tmp`, '--runtime', 'runc'];
    return run(['podman', ...options, ...args], {
      env: { CONTAINERS_REGISTRIES_CONF: `${this.#dir}/registries.conf` },
    });
  }
}
