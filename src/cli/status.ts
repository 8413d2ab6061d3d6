/** `status`: whether it helps, what it is doing and what is wrong, on one screen. */
import type { RateLimitView, StateView, TrafficView, TroubleView, UpstreamView } from '../admin/views.ts';
import { formatSize } from '../lib/units.ts';
import { API_OPTIONS, JSON_OPTION, type Command } from './command.ts';
import { EXIT } from './errors.ts';
import { formatAge, formatBar, formatCount, formatJson, formatShare, formatSpan } from './format.ts';
import { formatQuota, isNearlySpent } from './quota.ts';
import type { Style } from './screen.ts';
import { formatRows } from './table.ts';

type Row = readonly [string, string, Style?];

const BAR_WIDTH = 24;

export const STATUS: Command = {
  name: 'status',
  summary: 'what the mirror saves, what it is doing, and what is wrong',
  options: { ...JSON_OPTION, ...API_OPTIONS },
  run: async (given, session) => {
    const api = await session.api();
    const { screen } = session;
    if (given.has('json')) {
      screen.write(`${formatJson(await api.state())}\n`);
      return EXIT.success;
    }
    const [state, [trouble]] = await Promise.all([api.state(), api.troubles()]);
    const now = session.now();
    const up = formatSpan(Date.parse(state.now) - Date.parse(state.startedAt));
    screen.write(
      formatRows(screen, [
        ['Entrepôt', `${state.version} at ${api.url}, up for ${up}${workersOf(state)}`],
        ...healthRows(state),
        ...trafficRows(state, now),
        ...cacheRows(state),
        ['downloads', `${state.downloads.running} running, ${state.downloads.queued} waiting`],
        ...state.upstreams.flatMap((upstream, at) => upstreamRows(upstream, at, now)),
        ...scrubRows(state, now),
        ['trouble', ...troubleOf(trouble, now)],
      ]),
    );
    return EXIT.success;
  },
};

function workersOf({ workers }: StateView): string {
  return workers > 0 ? `, ${formatCount(workers, 'worker')}` : '';
}

function healthRows({ health }: StateView): readonly Row[] {
  const style: Style = health.status === 'ok' ? 'green' : health.status === 'degraded' ? 'yellow' : 'red';
  return [
    ['health', health.status, style],
    ...health.faults.map((fault): Row => ['', fault, 'red']),
    ...health.warnings.map((warning): Row => ['', warning, 'yellow']),
  ];
}

function trafficRows({ traffic: { recorded, sinceStart } }: StateView, now: number): readonly Row[] {
  const since = (traffic: TrafficView) => formatSpan(now - Date.parse(traffic.since));
  const ratio = (traffic: TrafficView) =>
    `${formatShare(traffic.hits, traffic.requests)} of ${formatCount(traffic.requests, 'request')}, ` +
    `${formatShare(traffic.hitBytes, traffic.servedBytes)} of ${formatSize(traffic.servedBytes)}`;
  return [
    [
      'saved',
      `${formatSize(recorded.savedBytes)} in ${since(recorded)}, ` +
        `${formatSize(sinceStart.savedBytes)} of them since the start`,
      'bold',
    ],
    ['hits', ratio(recorded)],
    ['', `since the start: ${ratio(sinceStart)}`],
  ];
}

function cacheRows({ cache }: StateView): readonly Row[] {
  const { bytes, maxBytes, reachableBytes, blobs, manifests, pinnedBytes, partialBytes } = cache;
  const bound = Math.min(maxBytes, reachableBytes);
  return [
    [
      'cache',
      `${formatBar(bytes, bound, BAR_WIDTH)} ${formatSize(bytes)} of ${formatSize(maxBytes)} ` +
        `(${formatShare(bytes, bound)})`,
    ],
    ...(reachableBytes < maxBytes
      ? [['', `the disk has room for ${formatSize(reachableBytes)} of it now`, 'yellow'] as const]
      : []),
    [
      '',
      `${formatCount(blobs, 'blob')}, ${formatCount(manifests, 'manifest')}, ` +
        `${formatSize(pinnedBytes)} pinned, ${formatSize(partialBytes)} half-downloaded, ` +
        `${formatSize(cache.diskFreeBytes)} free on the disk`,
    ],
  ];
}

function upstreamRows(upstream: UpstreamView, at: number, now: number): readonly Row[] {
  const { name, url, account, rateLimit } = upstream;
  const open = upstream.hosts.filter(({ circuit }) => circuit !== 'closed');
  return [
    [at === 0 ? 'upstreams' : '', `${name}  ${url}, ${account === 'anonymous' ? account : `by ${account}`}`],
    ...(rateLimit ? [quotaRow(rateLimit, now)] : []),
    ...open.map(({ host, circuit }): Row => [
      '',
      `  ${host} ${circuit === 'open' ? 'does not answer and is left alone for a while' : 'is tried again'}`,
      'red',
    ]),
  ];
}

function quotaRow(rateLimit: RateLimitView, now: number): Row {
  const text = `  ${formatQuota(rateLimit)}, seen ${formatAge(rateLimit.seenAt, now)}`;
  return isNearlySpent(rateLimit) ? ['', text, 'yellow'] : ['', text];
}

function scrubRows({ scrub }: StateView, now: number): readonly Row[] {
  const { isRunning, scannedBlobs, scannedBytes, corruptBlobs, lastCompletedAt } = scrub;
  const found: Row[] =
    corruptBlobs > 0
      ? [['', `${formatCount(corruptBlobs, 'blob')} no longer had their digest, and were forgotten`, 'red']]
      : [];
  const text = isRunning
    ? `running, ${formatCount(scannedBlobs, 'blob')} and ${formatSize(scannedBytes)} read`
    : `last completed: ${formatAge(lastCompletedAt, now)}`;
  return [['scrub', text], ...found];
}

function troubleOf(trouble: TroubleView | undefined, now: number): readonly [string, Style?] {
  if (!trouble) return ['none'];
  const { at, message, reason, level } = trouble;
  const text = `${formatAge(at, now)}: ${message}${reason === undefined ? '' : `: ${reason}`}`;
  return [text, level === 'warn' ? 'yellow' : 'red'];
}
