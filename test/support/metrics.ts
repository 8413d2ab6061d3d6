/** Reads the text format of Prometheus (version 0.0.4) as strictly as its own linter, promtool, does. */

export interface Sample {
  /** As it stands in the text: `name{a="b"}`. */
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** By the name of the family. @throws Error for what a scrape would refuse */
export function parseMetrics(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  const keys = new Set<string>();
  let current = { name: '', help: '' };
  for (const line of text.split('\n').filter((candidate) => candidate !== '')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      current = { name, help: rest };
    } else if (keyword === 'TYPE') {
      if (name !== current.name) throw new Error(`${name} has no HELP`);
      if (families.has(name)) throw new Error(`${name} comes twice`);
      families.set(name, { type: rest, help: current.help, samples: [] });
    } else {
      const family = families.get(current.name);
      const sample = parseSample(line);
      const suffix = sample.key.replace(/\{.*/, '').slice(current.name.length);
      const isOwn = family?.type === 'histogram' ? /^_(bucket|sum|count)$/.test(suffix) : suffix === '';
      if (!family || !sample.key.startsWith(current.name) || !isOwn) {
        throw new Error(`${sample.key} stands among the samples of ${current.name}`);
      }
      if (keys.has(sample.key)) throw new Error(`${sample.key} comes twice`);
      keys.add(sample.key);
      family.samples.push(sample);
    }
  }
  return families;
}

function parseSample(line: string): Sample {
  const match = /^([a-z_:][\w:]*(?:\{(.*)\})?) (\S+)$/i.exec(line);
  const [, key, list = '', number] = match ?? [];
  const value = number === '+Inf' ? Infinity : Number(number);
  if (key === undefined || Number.isNaN(value)) throw new Error(`this is no sample: ${line}`);
  const pairs = list.match(/[a-z_]\w*="(?:[^"\\]|\\.)*"/gi) ?? [];
  if (pairs.join(',') !== list) throw new Error(`these are no labels: ${list}`);
  const labels = pairs.map((pair) => {
    const equals = pair.indexOf('=');
    return [pair.slice(0, equals), JSON.parse(pair.slice(equals + 1)) as string] as const;
  });
  return { key, labels: Object.fromEntries(labels), value };
}
