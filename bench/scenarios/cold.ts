/** A first pull of one layer: what it costs beyond going straight to the upstream. */
import { buildImage } from '../images.ts';
import { readers } from '../load/client.ts';
import { peersOf } from '../peers/peers.ts';
import type { Options, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { coldPull, directTo } from './cold-run.ts';
import { LINE_BYTES_PER_SECOND, MiB, openSite } from './cold-site.ts';

const REPOSITORY = 'bench/cold';

export const cold: Scenario = {
  name: 'cold',
  title: 'A cold pull of one layer by one client',
  measures: ['wall', 'firstByte', 'cpuPerGiB', 'peakRss', 'upstreamRequests', 'upstreamBytes'],
  run,
};

async function run(options: Options, record: (sample: Sample) => void): Promise<void> {
  const { isShort, peers } = options;
  const sizes = isShort ? [8] : [64, 1024];
  const image = buildImage(
    'cold',
    sizes.map((size) => size * MiB),
  );
  await using site = await openSite(REPOSITORY, image, { perConnection: LINE_BYTES_PER_SECOND });
  const hasDirect = peers?.includes('direct') ?? true;
  const takingPart = [...(hasDirect ? [directTo(site.upstream)] : []), ...peersOf(options)];
  const lines = [
    { line: '100 MiB/s', upstreamUrl: site.lineUrl },
    { line: 'unthrottled', upstreamUrl: site.upstream.url },
  ];
  for (const { digest, size } of image.layers) {
    const pullers = readers(1, `/v2/${REPOSITORY}/blobs/${digest}`);
    for (const { line, upstreamUrl } of lines) {
      const name = `${size / MiB} MiB, ${line}`;
      const coldCase = { scenario: cold.name, case: name, site, upstreamUrl, isShort };
      await inTurns(options, takingPart, async (peer) => {
        record(await coldPull(peer, coldCase, pullers));
      });
    }
  }
}
