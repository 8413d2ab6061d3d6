/** Where a command writes: what a terminal can do, colours, and lines that are drawn again in place. */
import { styleText } from 'node:util';
import { cut } from './format.ts';

export interface Screen {
  readonly isTerminal: boolean;
  readonly hasColours: boolean;
  /** Infinity where it is no terminal. */
  readonly columns: number;
  readonly rows: number;
  readonly write: (text: string) => void;
}

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

/** The part of a stream that matters here. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

export function screenOf(output: Output, env: Readonly<Record<string, string | undefined>>): Screen {
  const isTerminal = output.isTTY === true;
  // https://no-color.org: whatever it says, unless it is empty.
  const hasColours = isTerminal && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return {
    isTerminal,
    hasColours,
    // A pseudo-terminal that nobody has given a size says 0.
    get columns() {
      return isTerminal ? output.columns || 80 : Infinity;
    },
    get rows() {
      return isTerminal ? output.rows || 24 : Infinity;
    },
    write: (text) => void output.write(text),
  };
}

export function paint(screen: Screen, style: Style | undefined, text: string): string {
  return style !== undefined && screen.hasColours ? styleText(style, text, { validateStream: false }) : text;
}

/** Lines at the end of the screen, drawn again and again. A terminal that is dumb can't. */
export class LiveLines {
  readonly #screen: Screen;
  #drawn = 0;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** @param lines without colours; those that do not fit in height are left out in the middle */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#screen;
    const room = Math.max(2, rows - 1);
    const hidden = lines.length - room + 1;
    const shown =
      lines.length <= room ? lines : [...lines.slice(0, room - 2), `... ${hidden} more`, ...lines.slice(-1)];
    // A line as wide as the screen would wrap on some terminals.
    const text = shown.map((line) => `\x1b[2K${cut(line, columns - 1)}\n`).join('');
    const back = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : '';
    this.#screen.write(`${back}${text}\x1b[J`);
    this.#drawn = shown.length;
  }
}
