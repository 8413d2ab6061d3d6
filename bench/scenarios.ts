/** Every scenario, in the order in which they run. */
import { cold } from './scenarios/cold.ts';
import { indexScale } from './index/scenario.ts';
import { herd } from './scenarios/herd.ts';
import { memory } from './scenarios/memory.ts';
import { rollout } from './scenarios/rollout.ts';
import { slow } from './scenarios/slow.ts';
import { smallRequests } from './scenarios/small-requests.ts';
import { startup } from './scenarios/startup.ts';
import { warmLayers, warmLayersTls } from './scenarios/warm-layers.ts';
import type { Scenario } from './support/scenario.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...[warmLayers, warmLayersTls, smallRequests],
  ...[cold, herd, rollout, slow, startup, memory, indexScale],
];
