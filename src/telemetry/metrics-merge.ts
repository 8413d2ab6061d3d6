/** Makes one set of metrics of those of several processes. */
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue } from 'prom-client';

/** The metrics of one process, as plain data. */
export type Snapshot = readonly object[];
type Metric = MetricObjectWithValues<MetricValue<string>>;

/** How often each was counted in all of them, which are gone: of what they had, such as memory, nothing is left. */
export async function sumUp(snapshots: readonly Snapshot[]): Promise<Snapshot> {
  const summed = (await merge(snapshots).getMetricsAsJSON()) as readonly Metric[];
  return summed.filter(({ type }) => String(type) !== 'gauge');
}

/** Their text, for whoever scrapes. */
export async function renderMerged(snapshots: readonly Snapshot[]): Promise<string> {
  return merge(snapshots).metrics();
}

function merge(snapshots: readonly Snapshot[]) {
  return AggregatorRegistry.aggregate(
    snapshots.map((metrics) =>
      (metrics as readonly Metric[]).map((metric) => ({ ...metric, aggregator: aggregatorOf(metric) })),
    ),
  );
}

/** What can't be merged, such as when a process began, is that of the first. */
function aggregatorOf({ aggregator }: Metric): Metric['aggregator'] {
  return aggregator === 'omit' ? 'first' : aggregator;
}
