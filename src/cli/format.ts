/** Numbers, times and foreign text as a person reads them in a terminal. */
import { formatSize } from '../lib/units.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What comes from outside may hold what a terminal obeys, or what hides what it says. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}

/** As it is, but for what a terminal would obey. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}

/** As in JSON, which writes what is beyond 16 bits in two parts. */
function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, at) => {
    return `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }).join('');
}

export function cut(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return width < 1 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

/** Lines of at most that many characters, broken at spaces, or within a word that is longer. */
export function wrap(text: string, width: number): readonly string[] {
  if (text.length <= width) return [text];
  const room = Math.max(1, width);
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of text.split(' ')) {
    const longer = line === undefined ? word : `${line} ${word}`;
    if (Array.from(longer).length <= room) {
      line = longer;
      continue;
    }
    if (line !== undefined) lines.push(line);
    const characters = Array.from(word);
    while (characters.length > room) lines.push(characters.splice(0, room).join(''));
    line = characters.join('');
  }
  return line === undefined ? lines : [...lines, line];
}

/** `40 s`, `3 min`, `5 h`, `12 d`. */
export function formatSpan(ms: number): string {
  if (ms < MINUTE) return `${Math.max(0, Math.round(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  return ms < 2 * DAY ? `${Math.floor(ms / HOUR)} h` : `${Math.floor(ms / DAY)} d`;
}

/** `3 h ago`; `never` where there is no time. */
export function formatAge(time: string | undefined, now: number): string {
  if (time === undefined) return 'never';
  const ms = now - Date.parse(time);
  if (Number.isNaN(ms)) return printable(time);
  return ms < SECOND ? 'just now' : `${formatSpan(ms)} ago`;
}

/** `97.2 %`; `-` of nothing. */
export function formatShare(part: number, whole: number): string {
  if (whole <= 0) return '-';
  const percent = (100 * part) / whole;
  // What is not all does not read as all.
  const rounded = part < whole ? Math.min(percent, 99.9) : percent;
  return `${rounded.toFixed(rounded < 10 || rounded % 1 >= 0.05 ? 1 : 0)} %`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `[=====>    ]`, with `width` characters within. */
export function formatBar(part: number, whole: number, width: number): string {
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  const done = Math.floor(share * width);
  const bar = done < width && done > 0 ? `${'='.repeat(done - 1)}>` : '='.repeat(done);
  return `[${bar.padEnd(width)}]`;
}

/** As docker shows it: the first 12 hex digits. */
export function shortDigest(digest: string): string {
  return printable(digest)
    .replace(/^[^:]*:/, '')
    .slice(0, 12);
}
