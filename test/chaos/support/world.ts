/** All that takes part in a run. */
import type { Catalogue } from './catalogue.ts';
import type { Findings } from './findings.ts';
import type { MirrorProcess } from './mirror-process.ts';
import type { Plan } from './plan.ts';
import type { Tally } from './tally.ts';
import type { UnrulyUpstream } from './unruly-upstream.ts';
import type { Skies } from './weather.ts';

export interface World {
  readonly plan: Plan;
  readonly catalogue: Catalogue;
  readonly skies: Skies;
  readonly upstream: UnrulyUpstream;
  readonly mirror: MirrorProcess;
  readonly findings: Findings;
  readonly tally: Tally;
  /** Blobs whose files somebody has damaged on disk, and which of them have wrong bytes. */
  readonly damaged: Map<string, 'gone' | 'short' | 'flipped'>;
}
