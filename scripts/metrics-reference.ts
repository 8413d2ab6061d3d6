/** Writes docs/metrics.md from the metrics that the program declares: `node scripts/metrics-reference.ts`. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { DOWNLOAD_OUTCOMES, FAILURE_CAUSES, Metrics } from '../src/telemetry/metrics.ts';
import type { MetricDescription } from '../src/telemetry/metrics.ts';

const FILE = fileURLToPath(new URL('../docs/metrics.md', import.meta.url));

const INTRODUCTION = `# Metrics

<!-- Written by scripts/metrics-reference.ts from src/telemetry/metrics*.ts: change those, and run the script. -->

\`GET /metrics\` on the admin listener gives them in the text format of Prometheus.
[deploy/prometheus](../deploy/prometheus) has a scrape configuration, recording rules and alerts,
[deploy/grafana](../deploy/grafana) a dashboard.

Units are in the names: seconds and bytes, and \`_total\` at the end of what only grows. Labels come from closed sets: no
repository, no digest and no client is ever one, so nobody who pulls makes new series. With \`workers\`, the metrics are
those of all processes together: counters, memory and CPU are added up, and of the event loops it is the one that is
late the most.

Where hits are spoken of, those are requests for manifests and blobs whose source is \`hit\`, \`revalidated\` or \`stale\`.
What was saved is what was served less what was fetched:

\`\`\`
sum(increase(entrepot_served_bytes_total{route=~"manifest|blob",source!="none"}[1d]))
  - sum(increase(entrepot_fetched_bytes_total[1d]))
\`\`\`
`;

const ROUTES =
  '`manifest`, `blob`, `tags`, `referrers`, `catalog`, `ping`, `none` (what is no path of the API)';
const KINDS = '`manifest`, `blob`, `tags`, `referrers`, `token`';
const list = (values: readonly string[]) => values.map((value) => `\`${value}\``).join(', ');

/** By the name of the label, or `metric{label}` where it is something else there. */
export const LABELS: Readonly<Record<string, string>> = {
  route: ROUTES,
  method: '`GET`, `HEAD`, `PUT`, `POST`, `PATCH`, `DELETE`, `other`',
  status: 'of the answer; 499 where the client had left before there was one',
  source:
    '`hit`, `miss`, `joined` (a download that another had begun), `revalidated` (upstream said that it is unchanged), `stale` (upstream could not be asked), `none` (refusals, and what is never cached)',
  type: '`blob`, `manifest`',
  host: 'of the upstream, its token service or its CDN, with its port; the first 50 that were asked, all others are `other`',
  upstream: 'its name, from the configuration',
  kind: KINDS,
  outcome: 'see below',
  cause: list(FAILURE_CAUSES),
  part: '`index`, `blobs`, `spool`',
  reason:
    '`malformed`, `headers-too-large`, `too-slow`, `too-many-connections`, `too-many-requests`, `stalled`, `tls`, `not-accepted`',
  percentile: '`50`, `99`, `100`',
  version: 'of the program',
  node_version: 'of Node.js',
  space: 'of the heap, as V8 names them',
  major: 'its first part',
  minor: 'its second part',
  patch: 'its third part',
  'entrepot_downloads_total{outcome}': list(DOWNLOAD_OUTCOMES),
  'entrepot_upstream_tokens_total{outcome}': '`fetched`, `failed`',
  'entrepot_upstream_requests_total{outcome}':
    'the status, or why there was none: `unreachable`, `protocol`, `aborted`, or `circuit-open` and `paused`, where nobody was asked',
  'entrepot_upstream_rejected_total{kind}': '`manifest`, `blob`, `tags`, `referrers`',
  'nodejs_gc_duration_seconds{kind}': '`major`, `minor`, `incremental`, `weakcb`',
  'nodejs_version_info{version}': 'of Node.js',
};

const SECTIONS: readonly (readonly [string, RegExp])[] = [
  ['Requests', /^entrepot_(requests?|served|refused)_/],
  ['Downloads', /^entrepot_download/],
  ['Upstreams', /^entrepot_(upstream|fetched)_/],
  ['Cache', /^entrepot_(cache|partial|pinned|evicted|purged)_/],
  ['Disk', /^entrepot_(disk|storage|scrub|corrupt|lost)_/],
  ['Process', /^entrepot_/],
  ['Of Distribution', /^registry_proxy_/],
  ['Of Node.js', /^(process|nodejs)_/],
];

const ABOUT: Readonly<Record<string, string>> = {
  'Of Distribution':
    'The five of its proxy, under their own names, so that dashboards made for it go on working. `hits` and `misses` are those of requests that were answered.',
};

/** The metrics of the program. */
export function describeMetrics(): readonly MetricDescription[] {
  const metrics = new Metrics('1', () => Promise.reject(new Error('nothing is read')));
  metrics.close();
  return metrics.describe();
}

/** The text of docs/metrics.md. */
export async function renderReference(): Promise<string> {
  const rest = new Set(describeMetrics());
  const sections = SECTIONS.map(([title, pattern]) => {
    const own = [...rest].filter(({ name }) => pattern.test(name));
    for (const metric of own) rest.delete(metric);
    own.sort((a, b) => (a.name < b.name ? -1 : 1));
    return [`## ${title}`, ABOUT[title] ?? '', ...own.map(render)].filter(Boolean).join('\n\n');
  });
  if (rest.size > 0) throw new Error(`in no section: ${[...rest].map(({ name }) => name).join(', ')}`);
  const text = [INTRODUCTION, ...sections].join('\n\n');
  return format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' });
}

function render({ name, type, help, labels }: MetricDescription): string {
  const told = labels.map((label) => {
    const values = LABELS[`${name}{${label}}`] ?? LABELS[label];
    if (values === undefined) throw new Error(`nothing is said of the label ${label} of ${name}`);
    return `- \`${label}\`: ${values}`;
  });
  const list = told.length > 0 ? `\n\n${told.join('\n')}` : '';
  return `### \`${name}\`\n\n${help} (${type})${list}`;
}

if (import.meta.main) await writeFile(FILE, await renderReference());
