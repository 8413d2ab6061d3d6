/** The samples of a scenario as what is shown of them: for each case and peer the spread of each measure, and ratios. */
import type { MeasureName, PeerName, Sample, Scenario } from '../support/scenario.ts';
import { pairedRatio, spreadOf, type Spread } from '../support/statistics.ts';
import { MEASURES, measuresOf } from './measures.ts';

/** Those that others are held against. */
const BASELINES: readonly PeerName[] = ['direct', 'distribution', 'nginx'];

export interface Figure {
  readonly measure: MeasureName;
  readonly spread: Spread;
  /** To each baseline that was measured in the same case; of what is compared only. */
  readonly ratios: Readonly<Partial<Record<PeerName, number>>>;
}

export interface Row {
  readonly case: string;
  readonly peer: PeerName;
  /** Of the measures that its samples have. */
  readonly figures: readonly Figure[];
  readonly rounds: number;
  readonly errors: number;
}

export interface Summary {
  readonly name: string;
  readonly title: string;
  readonly measures: readonly MeasureName[];
  /** Of these at least one row has a ratio. */
  readonly baselines: readonly PeerName[];
  /** Case by case, in the order in which they were measured. */
  readonly rows: readonly Row[];
}

export function summarize(scenario: Scenario, samples: readonly Sample[]): Summary {
  const measures = measuresOf(scenario, samples);
  const byCase = [...Map.groupBy(samples, (sample) => sample.case).values()];
  const rows = byCase.flatMap((ofCase) => {
    const byPeer = Map.groupBy(ofCase, ({ peer }) => peer);
    return [...byPeer.keys()].map((peer) => rowOf(peer, byPeer, measures));
  });
  const baselines = BASELINES.filter((peer) => rows.some((row) => row.peer === peer));
  return { name: scenario.name, title: scenario.title, measures, baselines, rows };
}

function rowOf(
  peer: PeerName,
  byPeer: ReadonlyMap<PeerName, readonly Sample[]>,
  measures: readonly MeasureName[],
): Row {
  const samples = byPeer.get(peer) ?? [];
  const figures = measures.flatMap((measure): Figure[] => {
    const values = valuesOf(measure, samples);
    const spread = spreadOf(values);
    if (spread === undefined) return [];
    const ratios = BASELINES.flatMap((baseline) => {
      if (!MEASURES[measure].isCompared || baseline === peer) return [];
      const ratio = pairedRatio(values, valuesOf(measure, byPeer.get(baseline) ?? []));
      return ratio === undefined ? [] : [[baseline, ratio] as const];
    });
    return [{ measure, spread, ratios: Object.fromEntries(ratios) }];
  });
  const errors = samples.reduce((total, sample) => total + sample.errors, 0);
  return { case: samples[0]?.case ?? '', peer, figures, rounds: samples.length, errors };
}

function valuesOf(measure: MeasureName, samples: readonly Sample[]): readonly number[] {
  return samples.flatMap((sample) => MEASURES[measure].of(sample) ?? []);
}
