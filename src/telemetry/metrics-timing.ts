/**
 * A histogram of seconds for what happens with every request. That of prom-client looks up and checks the labels each
 * time, which costs as much as all else that is counted of a request; here whoever observes holds on to the series.
 */
import type { Histogram, MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';

type Labels = Readonly<Record<string, string>>;

export class TimingSeries {
  readonly labels: Labels;
  readonly bounds: readonly number[];
  /** One for each bound, of what is within it and above the one before; the last of what is above them all. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const { bounds, counts } = this;
    let index = 0;
    while (index < bounds.length && seconds > (bounds[index] ?? 0)) index += 1;
    counts[index] = (counts[index] ?? 0) + 1;
    this.sum += seconds;
  }
}

export interface TimingOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** In seconds, ascending. */
  readonly bounds: readonly number[];
}

export class Timing {
  readonly type = 'histogram';
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, TimingSeries>();

  constructor(registry: Registry, { name, help, labelNames, bounds }: TimingOptions) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#bounds = bounds;
    // All that a registry asks of a metric is its name and `get`; its types know only prom-client's own.
    registry.registerMetric(this as unknown as Histogram);
  }

  /** The same for the same labels. */
  series(labels: Labels): TimingSeries {
    const key = JSON.stringify(Object.values(labels));
    const known = this.#series.get(key);
    if (known) return known;
    const series = new TimingSeries(labels, this.#bounds);
    this.#series.set(key, series);
    return series;
  }

  get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { name, help, type } = this;
    const values = [...this.#series.values()].flatMap((series) => this.#samplesOf(series));
    return Promise.resolve({ name, help, type, aggregator: 'sum', values } as never);
  }

  #samplesOf({ labels, counts, bounds, sum }: TimingSeries): MetricValueWithName<string>[] {
    let count = 0;
    const buckets = [...counts].map((within, index) => {
      count += within;
      const le = bounds[index] ?? '+Inf';
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
