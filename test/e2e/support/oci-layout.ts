/** Writes images into an OCI image layout, from where skopeo takes them to a registry. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { splitTree, writeLayer, type Layer } from './layers.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Platform;
}

interface Platform {
  readonly os: 'linux';
  readonly architecture: string;
}

export class OciLayout {
  readonly dir: string;
  readonly #blobsDir: string;
  readonly #named: unknown[] = [];

  private constructor(dir: string) {
    this.dir = dir;
    this.#blobsDir = join(dir, 'blobs', 'sha256');
  }

  static async create(dir: string): Promise<OciLayout> {
    const layout = new OciLayout(dir);
    await mkdir(layout.#blobsDir, { recursive: true });
    await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    return layout;
  }

  /** As many layers as there are weights, whose sizes are about as the weights. */
  async addTree(root: string, weights: readonly number[]): Promise<Layer[]> {
    const layers: Layer[] = [];
    for (const paths of await splitTree(root, weights)) {
      layers.push(await writeLayer(this.#blobsDir, root, paths));
    }
    return layers;
  }

  async addImage(architecture: string, layers: readonly Layer[]): Promise<Descriptor> {
    const platform: Platform = { os: 'linux', architecture };
    const config = await this.#addJson(CONFIG, {
      ...platform,
      config: { Cmd: ['/bin/sh'], Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map(() => ({ created_by: 'the end-to-end tests' })),
    });
    const manifest = await this.#addJson(MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config,
      layers: layers.map(({ digest, size }) => ({ mediaType: LAYER, digest, size })),
    });
    return { ...manifest, platform };
  }

  addIndex(manifests: readonly Descriptor[]): Promise<Descriptor> {
    return this.#addJson(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests });
  }

  /** Makes it `oci:<dir>:<name>`. */
  async name(name: string, target: Descriptor): Promise<string> {
    this.#named.push({ ...target, annotations: { 'org.opencontainers.image.ref.name': name } });
    const index = { schemaVersion: 2, manifests: this.#named };
    await writeFile(join(this.dir, 'index.json'), JSON.stringify(index));
    return `oci:${this.dir}:${name}`;
  }

  async #addJson(mediaType: string, content: unknown): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(content));
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(this.#blobsDir, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  }
}
