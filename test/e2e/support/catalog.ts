/** The images that the upstream holds, under the names that clients ask for on Docker Hub. */

/** An image for one platform. */
export interface CatalogManifest {
  readonly digest: string;
  readonly config: string;
  readonly layers: readonly string[];
}

export interface CatalogImage {
  readonly repository: string;
  readonly tag: string;
  /** What the tag names: the index where there is one, else the manifest. */
  readonly digest: string;
  readonly amd64: CatalogManifest;
  readonly arm64?: CatalogManifest;
  /** Run in a container: fails, or prints something, where a file of the image is not as it was built. */
  readonly check: readonly string[];
}

export interface Catalog {
  /** An OCI index of two platforms, small, with busybox in it. */
  readonly alpine: CatalogImage;
  /** A Docker manifest with a Debian root file system in twelve layers of very different sizes. */
  readonly debian: CatalogImage;
  /** An OCI manifest; it shares layers with alpine. */
  readonly app: CatalogImage;
}

/** As clients of Docker Hub name it. */
export function nameOf({ repository, tag }: CatalogImage): string {
  return `docker.io/${repository}:${tag}`;
}

export function blobsOf({ config, layers }: CatalogManifest): string[] {
  return [config, ...layers];
}

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Index or manifest: which of the two is told by what is there. */
interface Document {
  readonly manifests?: readonly {
    readonly digest: string;
    readonly platform: { readonly architecture: string };
  }[];
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}

async function fetchDocument(
  registryUrl: string,
  repository: string,
  reference: string,
): Promise<{ readonly digest: string; readonly document: Document }> {
  const url = `${registryUrl}/v2/${repository}/manifests/${reference}`;
  const response = await fetch(url, { headers: { accept: ACCEPT } });
  const digest = response.headers.get('docker-content-digest');
  if (!response.ok || digest === null) throw new Error(`${url}: ${response.status}`);
  return { digest, document: (await response.json()) as Document };
}

/** As a registry holds it. */
export async function imageAt(
  registryUrl: string,
  repository: string,
  tag: string,
): Promise<Omit<CatalogImage, 'check'>> {
  const manifestAt = async (reference: string): Promise<CatalogManifest> => {
    const { digest, document } = await fetchDocument(registryUrl, repository, reference);
    const layers = document.layers.map((layer) => layer.digest);
    return { digest, config: document.config.digest, layers };
  };
  const { digest, document } = await fetchDocument(registryUrl, repository, tag);
  const digestFor = (architecture: string): string | undefined =>
    document.manifests?.find((child) => child.platform.architecture === architecture)?.digest;
  const arm64 = digestFor('arm64');
  return {
    repository,
    tag,
    digest,
    amd64: await manifestAt(digestFor('amd64') ?? digest),
    ...(arm64 === undefined ? {} : { arm64: await manifestAt(arm64) }),
  };
}
