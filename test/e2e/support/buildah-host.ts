/** A machine with Debian's buildah. */
import { rm } from 'node:fs/promises';
import { nameOf, type CatalogImage } from './catalog.ts';
import type { Mirror } from './mirror.ts';
import { hostName, mustBeEmpty, type PullingHost } from './pulling-host.ts';
import { writeRegistriesConf } from './registries-conf.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

export class BuildahHost implements PullingHost {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(workspace: Workspace, mirror: Mirror): Promise<BuildahHost> {
    const dir = await workspace.folder(hostName('buildah'));
    await writeRegistriesConf(`${dir}/registries.conf`, mirror);
    return new BuildahHost(dir);
  }

  async pull(image: CatalogImage): Promise<void> {
    await this.#buildah('pull', nameOf(image));
  }

  async check(image: CatalogImage): Promise<void> {
    const container = (await this.#buildah('from', '--pull-never', nameOf(image))).trim();
    const argv = ['run', '--isolation=chroot', container, '--', ...image.check];
    mustBeEmpty(image, await this.#buildah(...argv));
    await this.#buildah('rm', container);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }

  #buildah(...args: readonly string[]): Promise<string> {
    const storage = ['--root', `${this.#dir}/root`, '--runroot', `${this.#dir}/run`];
    return run(['buildah', ...storage, ...args], {
      env: { CONTAINERS_REGISTRIES_CONF: `${this.#dir}/registries.conf` },
    });
  }
}
