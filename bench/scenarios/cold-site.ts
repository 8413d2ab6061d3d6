/** What the cold scenarios pull from: a registry with content, and a line to it of a certain speed. */
import { buildImage, pushImage, type Image } from '../images.ts';
import { pull, readers } from '../load/client.ts';
import type { Running } from '../support/scenario.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import { UpstreamRegistry } from '../upstream/registry.ts';
import { startThrottle, type Rate } from '../upstream/throttle.ts';

export const MiB = 1024 ** 2;
/** A line of 1 Gbit/s carries 112 at most. */
export const LINE_BYTES_PER_SECOND = 100 * MiB;
export const TAG = 'latest';

const GREETING = 'bench/greeting';

export interface Site extends AsyncDisposable {
  readonly upstream: UpstreamRegistry;
  /** The upstream at the far end of the line. */
  readonly lineUrl: string;
}

export async function openSite(repository: string, image: Image, rate: Rate): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const directory = await freshDirectory('upstream');
  stack.defer(() => removeDirectory(directory));
  const upstream = stack.use(await UpstreamRegistry.start(directory));
  const { url: lineUrl } = stack.use(await startThrottle(upstream.url, rate));
  await pushImage(upstream.url, GREETING, TAG, buildImage(GREETING, [MiB]));
  await pushImage(upstream.url, repository, TAG, image);
  const opened = stack.move();
  return { upstream, lineUrl, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** A first pull of something else: mirrors run for weeks, and are not measured while they still load their code. */
export async function greet({ url }: Running): Promise<void> {
  const { layers } = buildImage(GREETING, [MiB]);
  const paths = [
    `/v2/${GREETING}/manifests/${TAG}`,
    ...layers.map(({ digest }) => `/v2/${GREETING}/blobs/${digest}`),
  ];
  const { firstError } = await pull({ url, pullers: readers(1, ...paths) });
  if (firstError !== undefined) throw new Error(`${url} does not pass on what upstream has: ${firstError}`);
}
