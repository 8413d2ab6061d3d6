/** A summary as a table: in Markdown for a page, in columns for a screen. */
import { MEASURES } from './measures.ts';
import type { Figure, Row, Summary } from './summary.ts';

type Cells = readonly string[];

/** A heading for each column, then the rows. */
export function cellsOf(summary: Summary): readonly Cells[] {
  const columns = summary.measures.map((measure) => {
    const { title, unit, isCompared } = MEASURES[measure];
    return { measure, heading: `${title} ${unit}`, baselines: isCompared ? summary.baselines : [] };
  });
  const headings = columns.flatMap(({ heading, baselines }) => [
    heading,
    ...baselines.map((peer) => `: ${peer}`),
  ]);
  const cellsOfRow = ({ figures }: Row): Cells =>
    columns.flatMap(({ measure, baselines }) => {
      const figure = figures.find((each) => each.measure === measure);
      return [spreadCell(figure), ...baselines.map((peer) => ratioCell(figure?.ratios[peer]))];
    });
  return [
    ['case', 'peer', ...headings, 'errors'],
    ...summary.rows.map((row) => [row.case, row.peer, ...cellsOfRow(row), String(row.errors)]),
  ];
}

/** Of one run its value, of more their median with the least and the most. */
function spreadCell(figure: Figure | undefined): string {
  if (figure === undefined) return '';
  const { median, min, max } = figure.spread;
  const text = formatNumber(median);
  return min === max ? text : `${text} [${formatNumber(min)}-${formatNumber(max)}]`;
}

const ratioCell = (ratio: number | undefined): string =>
  ratio === undefined ? '' : `×${formatNumber(ratio)}`;

/** Three digits that count; large numbers whole, in groups. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
  const digits = Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(size))));
  return value.toFixed(digits);
}

export function markdownTable(summary: Summary): string {
  const [headings = [], ...rows] = cellsOf(summary);
  const line = (cells: Cells) => `| ${cells.join(' | ')} |`;
  const rule = headings.map((_, index) => (index < 2 ? '---' : '---:'));
  return [line(headings), line(rule), ...rows.map(line)].join('\n');
}

/** A blank line between the cases. */
export function screenTable(summary: Summary): string {
  const [headings = [], ...rows] = cellsOf(summary);
  const widths = headings.map((heading, index) =>
    Math.max(heading.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = (cells: Cells) =>
    cells
      .map((cell, index) => (index < 2 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  const lines = rows.flatMap((row, index) => {
    const isNew = index > 0 && rows[index - 1]?.[0] !== row[0];
    return isNew ? ['', line(row)] : [line(row)];
  });
  return [line(headings), '', ...lines].join('\n');
}
