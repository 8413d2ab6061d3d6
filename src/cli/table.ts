/** Aligned columns for people, cut to the width of the terminal. */
import { cut, printable, wrap } from './format.ts';
import { paint, type Screen, type Style } from './screen.ts';

export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string;
  readonly isRight?: boolean;
  /** Gives way first where there is no room. */
  readonly shrinks?: boolean;
  readonly style?: (row: T) => Style | undefined;
}

const GAP = 2;
const LEAST_WIDTH = 12;

/** With a row of titles; ends with a newline. What cells hold may come from outside. */
export function formatTable<T>(screen: Screen, columns: readonly Column<T>[], rows: readonly T[]): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.of(row))));
  const widths = fit(screen.columns, columns, [columns.map(({ title }) => title), ...cells]);
  const line = (texts: readonly string[], styleOf: (column: Column<T>) => Style | undefined) => {
    let room = screen.columns;
    const parts = columns.map((column, at) => {
      const isLast = at === columns.length - 1;
      const width = widths[at] ?? 0;
      const text = cut(texts[at] ?? '', Math.min(width, room));
      const padding = ' '.repeat(Math.max(0, Math.min(width, room) - Array.from(text).length));
      room = Math.max(0, room - width - GAP);
      const painted = paint(screen, text === '' ? undefined : styleOf(column), text);
      return column.isRight ? padding + painted : isLast ? painted : painted + padding;
    });
    return `${parts.join(' '.repeat(GAP)).trimEnd()}\n`;
  };
  const titles = columns.map(({ title }) => title);
  const body = rows.map((row, at) => line(cells[at] ?? [], ({ style }) => style?.(row)));
  return [line(titles, () => 'bold'), ...body].join('');
}

function fit<T>(
  room: number,
  columns: readonly Column<T>[],
  lines: readonly (readonly string[])[],
): readonly number[] {
  const widths = columns.map((_, at) =>
    Math.max(...lines.map((cells) => Array.from(cells[at] ?? '').length)),
  );
  let excess = widths.reduce((sum, width) => sum + width, GAP * (columns.length - 1)) - room;
  columns.forEach((column, at) => {
    if (!column.shrinks || excess <= 0) return;
    const width = widths[at] ?? 0;
    const shrunk = Math.max(Math.min(width, LEAST_WIDTH), width - excess);
    excess -= width - shrunk;
    widths[at] = shrunk;
  });
  return widths;
}

/** Names in one column, what belongs to them in the other; a row without a name goes on with the one above. */
export function formatRows(screen: Screen, rows: readonly (readonly [string, string, Style?])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + GAP;
  return rows
    .flatMap(([name, text, style]) =>
      wrap(printable(text), screen.columns - width).map((line, at) => {
        const head = at === 0 ? name : '';
        return `${paint(screen, 'bold', head)}${' '.repeat(width - head.length)}${paint(screen, style, line)}`.trimEnd();
      }),
    )
    .map((line) => `${line}\n`)
    .join('');
}
