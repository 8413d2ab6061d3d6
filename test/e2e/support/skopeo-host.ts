/** A machine with Debian's skopeo, which copies images into folders, as they are in the registry. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { blobsOf, nameOf, type CatalogImage, type CatalogManifest } from './catalog.ts';
import type { Mirror } from './mirror.ts';
import { hostName, type PullingHost } from './pulling-host.ts';
import { writeRegistriesConf } from './registries-conf.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

export class SkopeoHost implements PullingHost {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(workspace: Workspace, mirror: Mirror): Promise<SkopeoHost> {
    const dir = await workspace.folder(hostName('skopeo'));
    await writeRegistriesConf(`${dir}/registries.conf`, mirror);
    return new SkopeoHost(dir);
  }

  async pull(image: CatalogImage): Promise<void> {
    await this.skopeo('copy', `docker://${nameOf(image)}`, `dir:${this.#folderOf(image)}`);
  }

  async check(image: CatalogImage): Promise<void> {
    await checkFolder(this.#folderOf(image), image.amd64);
  }

  /** It does not read the variable that podman and buildah read. */
  skopeo(...args: readonly string[]): Promise<string> {
    return run(['skopeo', '--registries-conf', `${this.#dir}/registries.conf`, ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }

  #folderOf(image: CatalogImage): string {
    return join(this.#dir, image.repository.replaceAll('/', '-'));
  }
}

/** Throws where the `dir:` folder does not hold, byte for byte, what the catalog says. */
export async function checkFolder(folder: string, manifest: CatalogManifest): Promise<void> {
  const expected = [
    { file: 'manifest.json', digest: manifest.digest },
    ...blobsOf(manifest).map((digest) => ({ file: digest.slice('sha256:'.length), digest })),
  ];
  for (const { file, digest } of expected) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(join(folder, file)), hash);
    const found = `sha256:${hash.digest('hex')}`;
    if (found !== digest) throw new Error(`${join(folder, file)} is ${found}, not ${digest}`);
  }
}
