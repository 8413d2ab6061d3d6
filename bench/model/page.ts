/** Puts the tables into docs/scale.md, between its marks. */
import { checksOf, fitFigures } from './figures.ts';
import type { Sample } from '../support/scenario.ts';
import { checkTable, DEFAULTS, figuresTable, limitsTable, rolloutTable } from './tables.ts';

export interface Measured {
  readonly samples: readonly Sample[];
  readonly machine: { readonly cores: number };
}

const BEGIN = '<!-- model -->';
const END = '<!-- /model -->';
const GBIT = 125_000_000;

/** @throws Error where the page has no place for them */
export function withTables(page: string, { samples, machine }: Measured): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end === -1) throw new Error(`the page has no ${BEGIN} and ${END}`);
  const figures = fitFigures(samples);
  const isTls = figures.sendTlsCpuSecondsPerGiB !== undefined;
  const { requests, nodesInRack } = DEFAULTS;
  const tables = [
    'What a mirror costs, as measured (one machine; see the benchmark for how much that varies):',
    figuresTable(figures),
    'What that makes of a processor, if nothing else is the limit:',
    limitsTable(figures),
    'The model beside what was measured of whole rollouts, where clients and upstream share the two cores with the mirror:',
    checkTable(figures, checksOf(samples, machine.cores)),
    '## A rollout of 2 GiB',
    `Nodes, racks of ${nodesInRack} and mirrors with 10 Gbit/s, 40 Gbit/s between a rack and the rest, a line of 1 Gbit/s to the registry, mirrors with 4 cores, ${requests} requests a node beside the bytes:`,
    rolloutTable(figures),
    `The same ${isTls ? 'over TLS, ' : ''}with 1 Gbit/s for each node, mirror and rack, and a line of 100 Mbit/s:`,
    rolloutTable(figures, {
      ...{ nodeNetwork: GBIT, rackUplink: GBIT, line: GBIT / 10, isTls },
      mirror: { ...DEFAULTS.mirror, network: GBIT },
    }),
    'With 100 Gbit/s between all machines, 25 for each node, and a line of 10 Gbit/s:',
    rolloutTable(figures, {
      ...{ nodeNetwork: 25 * GBIT, rackUplink: 100 * GBIT, line: 10 * GBIT },
      mirror: { ...DEFAULTS.mirror, network: 100 * GBIT, cores: 16, diskWrite: 3e9 },
    }),
  ];
  return `${page.slice(0, begin)}${BEGIN}\n\n${tables.join('\n\n')}\n\n${page.slice(end)}`;
}
