/** Sizes and durations as people write them. Parse functions throw SyntaxError with a hint for who wrote the text. */

const BYTES_IN = {
  PiB: 1024 ** 5,
  PB: 1000 ** 5,
  TiB: 1024 ** 4,
  TB: 1000 ** 4,
  GiB: 1024 ** 3,
  GB: 1000 ** 3,
  MiB: 1024 ** 2,
  MB: 1000 ** 2,
  KiB: 1024,
  KB: 1000,
  B: 1,
} as const;
const BINARY = ['PiB', 'TiB', 'GiB', 'MiB', 'KiB'] as const;

const MS_IN = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

/** A number and what follows it; upper and lower case of units are the same. */
function split(text: string): { amount: number; unit: string } | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  return match ? { amount: Number(match[1]), unit: (match[2] ?? '').toLowerCase() } : undefined;
}

function factorOf(table: Readonly<Record<string, number>>, unit: string): number | undefined {
  return Object.entries(table).find(([name]) => name.toLowerCase() === unit)?.[1];
}

/** `40GiB`, `500MB`, `1.5 TiB`, or a plain number of bytes. */
export function parseBytes(text: string): number {
  const parts = split(text);
  if (!parts) throw new SyntaxError('it is not a number with a unit');
  const factor = parts.unit === '' ? 1 : factorOf(BYTES_IN, parts.unit);
  if (factor === undefined) {
    const short = /^([kmgtp])i?$/.exec(parts.unit)?.[1]?.toUpperCase();
    throw new SyntaxError(
      short === undefined
        ? `there is no unit "${parts.unit}"`
        : `write ${parts.amount}${short}iB for powers of 1024, ${parts.amount}${short}B for powers of 1000`,
    );
  }
  const bytes = Math.round(parts.amount * factor);
  if (!Number.isSafeInteger(bytes)) throw new SyntaxError('it is too large');
  return bytes;
}

/** Exact where four digits and a unit can say it, else rounded to one decimal: `40GiB`, `500MB`, `37.2GiB`. */
export function formatBytes(bytes: number): string {
  for (const [unit, factor] of Object.entries(BYTES_IN)) {
    const amount = bytes / factor;
    if (amount >= 1 && amount < 10_000 && Number.isInteger(amount)) return `${amount}${unit}`;
  }
  const unit = BINARY.find((name) => bytes >= BYTES_IN[name]);
  return unit === undefined ? `${Math.round(bytes)}B` : `${round(bytes / BYTES_IN[unit])}${unit}`;
}

/** Milliseconds of `500ms`, `60s`, `5m`, `24h` or `7d`. Only 0 may stand without a unit. */
export function parseDuration(text: string): number {
  const parts = split(text);
  if (!parts) throw new SyntaxError('it is not a number with a unit');
  if (parts.unit === '') {
    if (parts.amount === 0) return 0;
    throw new SyntaxError(`it has no unit: write ${parts.amount}s for seconds`);
  }
  const factor = factorOf(MS_IN, parts.unit);
  if (factor === undefined) throw new SyntaxError(`there is no unit "${parts.unit}"`);
  const ms = Math.round(parts.amount * factor);
  if (!Number.isSafeInteger(ms)) throw new SyntaxError('it is too large');
  return ms;
}

/** In the largest unit that says it exactly, which {@link parseDuration} reads again: `90s`, `5m`, `7d`. */
export function formatDuration(ms: number): string {
  const whole = Math.round(ms);
  if (whole === 0) return '0s';
  const [unit, factor] = Object.entries(MS_IN).find(([, size]) => whole % size === 0) ?? ['ms', 1];
  return `${whole / factor}${unit}`;
}

function round(amount: number): number {
  return Math.round(amount * 10) / 10;
}

/** Rounded, and always of 1024, as numbers below each other are compared: `1.2 GiB`, `500 MiB`, `12 B`. */
export function formatSize(bytes: number): string {
  // 1023.96 KiB would be written as 1024 KiB.
  const unit = BINARY.findLast((name) => round(bytes / BYTES_IN[name]) < 1024) ?? BINARY[0];
  return bytes < 1024 ? `${Math.round(bytes)} B` : `${round(bytes / BYTES_IN[unit])} ${unit}`;
}
