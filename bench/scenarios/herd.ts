/** Many clients at once on a layer that nobody has pulled before: what it costs the upstream, and how long they wait. */
import { buildImage } from '../images.ts';
import { readers } from '../load/client.ts';
import { peersOf, USUAL_PEERS } from '../peers/peers.ts';
import type { Options, Peer, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { coldPull } from './cold-run.ts';
import { LINE_BYTES_PER_SECOND, MiB, openSite } from './cold-site.ts';

const REPOSITORY = 'bench/herd';
/** A hundred clients that all go upstream take minutes. */
const MOST_ROUNDS = 3;
/** By default nginx lets everybody through who has waited for five seconds; told not to, it is the one to beat. */
const PEERS = [...USUAL_PEERS, 'nginx-lock'] as const;
/** With a hundred clients: the others send each of them to the upstream, of which twenty are enough to see. */
const PEERS_OF_A_HUNDRED = ['entrepot', 'nginx-lock'] as const;

export const herd: Scenario = {
  name: 'herd',
  title: 'Many clients at once on a layer that is not in the cache',
  measures: [
    'wall',
    'firstByteMin',
    'firstByte',
    'firstByteMax',
    'cpuPerGiB',
    'peakRss',
    'upstreamRequests',
    'upstreamBytes',
  ],
  run,
};

async function run(options: Options, record: (sample: Sample) => void): Promise<void> {
  const { isShort, rounds } = options;
  const size = isShort ? 8 : 1024;
  const image = buildImage('herd', [size * MiB]);
  await using site = await openSite(REPOSITORY, image, { perConnection: LINE_BYTES_PER_SECOND });
  const paths = image.layers.map(({ digest }) => `/v2/${REPOSITORY}/blobs/${digest}`);
  const throttled = { line: '100 MiB/s a connection', upstreamUrl: site.lineUrl };
  const unthrottled = { line: 'unthrottled', upstreamUrl: site.upstream.url };
  const cases = isShort
    ? [{ clients: 4, ...throttled }]
    : [
        { clients: 20, ...throttled },
        { clients: 20, ...unthrottled },
        { clients: 100, ...throttled },
      ];
  for (const { clients, line, upstreamUrl } of cases) {
    const name = `${clients} clients, ${size} MiB, ${line}`;
    const coldCase = { scenario: herd.name, case: name, site, upstreamUrl, isShort };
    const peers = takingPart(clients === 100 ? { peers: PEERS_OF_A_HUNDRED, ...options } : options);
    await inTurns({ rounds: Math.min(rounds, MOST_ROUNDS) }, peers, async (peer) => {
      record(await coldPull(peer, coldCase, readers(clients, ...paths)));
    });
  }
}

function takingPart({ isShort, peers }: Options): readonly Peer[] {
  return peersOf({ peers: peers ?? (isShort ? USUAL_PEERS : PEERS) });
}
