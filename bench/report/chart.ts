/** A summary as an SVG: for each case a bar for each peer, its median with whiskers from the least to the most. */
import type { PeerName } from '../support/scenario.ts';
import type { Spread } from '../support/statistics.ts';
import { MEASURES } from './measures.ts';
import type { Summary } from './summary.ts';
import { formatNumber } from './table.ts';

const WIDTH = 760;
/** Of 12 pixels; generous, for nothing here can measure text. */
const CHARACTER_WIDTH = 6.6;
const BAR_HEIGHT = 14;
const BAR_GAP = 3;
const GROUP_GAP = 14;
const TOP = 76;
const BOTTOM = 14;
/** Right of the longest bar, for its number. */
const VALUE_WIDTH = 110;

/** Told apart by those who see few colours, on white and on black. */
const COLOURS: Readonly<Record<PeerName, string>> = {
  entrepot: '#d9480f',
  'entrepot-portable': '#f08c00',
  'entrepot-workers': '#c2255c',
  distribution: '#1c7ed6',
  nginx: '#2f9e44',
  'nginx-lock': '#66a80f',
  direct: '#868e96',
};

const STYLE = `text { font: 12px system-ui, sans-serif; fill: #212529 }
.title { font-size: 14px; font-weight: 600 }
.value, .legend { font-size: 11px }
.whisker { stroke: #212529; stroke-width: 1 }
.axis { stroke: #adb5bd; stroke-width: 1 }
@media (prefers-color-scheme: dark) { text { fill: #e9ecef } .whisker { stroke: #e9ecef } .axis { stroke: #495057 } }`;

interface Bar {
  readonly case: string;
  readonly peer: PeerName;
  readonly spread: Spread;
}

interface Axis {
  /** Where the bars begin. */
  readonly left: number;
  readonly scale: (value: number) => number;
}

/** Draws its first measure. @returns undefined where nothing has that */
export function renderChart(summary: Summary): string | undefined {
  const [measure] = summary.measures;
  if (measure === undefined) return undefined;
  const bars = summary.rows.flatMap(({ case: name, peer, figures }): Bar[] => {
    const figure = figures.find((each) => each.measure === measure);
    return figure ? [{ case: name, peer, spread: figure.spread }] : [];
  });
  const longest = Math.max(...bars.map(({ spread }) => spread.max));
  if (bars.length === 0 || longest <= 0) return undefined;
  const left = Math.ceil(Math.max(...bars.map((bar) => bar.case.length)) * CHARACTER_WIDTH) + 16;
  const scale = (value: number) => (value / longest) * (WIDTH - left - VALUE_WIDTH);
  const { title, unit, isGain } = MEASURES[measure];
  const { marks, height } = drawBars(bars, { left, scale });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escape(summary.title)}</title>
<style>${STYLE}</style>
${textAt(8, 20, summary.title, 'title')}
${textAt(8, 38, `${title}, ${unit} (${isGain ? 'more' : 'less'} is better)`, 'subtitle')}
${drawLegend([...new Set(bars.map(({ peer }) => peer))])}
<line class="axis" x1="${left}" x2="${left}" y1="${TOP - 6}" y2="${height - BOTTOM}"/>
${marks.join('\n')}
</svg>
`;
}

function drawBars(bars: readonly Bar[], axis: Axis) {
  const marks: string[] = [];
  let y = TOP;
  for (const [name, group] of Map.groupBy(bars, (bar) => bar.case)) {
    const middle = y + (group.length * (BAR_HEIGHT + BAR_GAP) - BAR_GAP) / 2 + 4;
    marks.push(textAt(axis.left - 8, middle, name, 'label', 'end'));
    for (const bar of group) {
      marks.push(drawBar(bar, y, axis));
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += GROUP_GAP;
  }
  return { marks, height: y + BOTTOM };
}

function drawBar({ peer, spread }: Bar, y: number, { left: origin, scale }: Axis): string {
  const [left, middle, right] = [spread.min, spread.median, spread.max].map((value) =>
    (origin + scale(value)).toFixed(1),
  );
  const centre = y + BAR_HEIGHT / 2;
  const whisker = `M${left} ${y + 3}V${y + BAR_HEIGHT - 3}M${left} ${centre}H${right}M${right} ${y + 3}V${y + BAR_HEIGHT - 3}`;
  return [
    `<rect x="${origin}" y="${y}" width="${scale(spread.median).toFixed(1)}" height="${BAR_HEIGHT}" fill="${COLOURS[peer]}"/>`,
    ...(spread.min === spread.max ? [] : [`<path class="whisker" fill="none" d="${whisker}"/>`]),
    textAt(
      Number(spread.min === spread.max ? middle : right) + 6,
      y + BAR_HEIGHT - 3,
      formatNumber(spread.median),
      'value',
    ),
  ].join('\n');
}

function drawLegend(peers: readonly PeerName[]): string {
  return peers
    .map((peer, index) => {
      const x = 8 + index * 124;
      return `<rect x="${x}" y="50" width="10" height="10" fill="${COLOURS[peer]}"/>${textAt(x + 15, 59, peer, 'legend')}`;
    })
    .join('\n');
}

function textAt(x: number, y: number, text: string, kind: string, anchor = 'start'): string {
  return `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${escape(text)}</text>`;
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
