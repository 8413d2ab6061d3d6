/** Who is measured. */
import type { Options, Peer, PeerName } from '../support/scenario.ts';
import { distribution } from './distribution.ts';
import { entrepot } from './entrepot.ts';
import { nginx } from './nginx.ts';

/** All that can be started; `direct` is no server of ours. */
export const PEERS: Readonly<Record<Exclude<PeerName, 'direct'>, Peer>> = {
  entrepot: entrepot('entrepot'),
  'entrepot-portable': entrepot('entrepot-portable', { ENTREPOT_SENDFILE: 'off' }),
  'entrepot-workers': entrepot('entrepot-workers', { ENTREPOT_WORKERS: '2' }),
  distribution,
  nginx: nginx('nginx'),
  // By default it lets everybody through to the upstream who has waited for five seconds.
  'nginx-lock': nginx('nginx-lock', 'proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;'),
};

export const USUAL_PEERS = ['entrepot', 'distribution', 'nginx'] as const;

/** Whom a scenario measures, in the order in which they take turns. */
export function peersOf({ peers = USUAL_PEERS }: Pick<Options, 'peers'>): readonly Peer[] {
  return peers.filter((name) => name !== 'direct').map((name) => PEERS[name]);
}
