/** Sizes, shares and times in the words of the reader's own locale. */
import { el } from './dom.js';

const UNITS = ['kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'];
const SPANS = /** @type {const} */ ([
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]);

const countFormat = new Intl.NumberFormat();
const percentFormat = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 });
const relativeFormat = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const absoluteFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const unitFormats = UNITS.map(
  (unit) => new Intl.NumberFormat(undefined, { style: 'unit', unit, maximumSignificantDigits: 3 }),
);

/** How far the mirror's clock is before the reader's, in milliseconds. */
let skew = 0;

/** @param {string} now what the mirror says it is */
export function setClock(now) {
  skew = Date.parse(now) - Date.now();
}

/** By the mirror's clock. */
export const now = () => Date.now() + skew;

/** @param {number} value */
export const count = (value) => countFormat.format(value);

/**
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** @param {number} value */
export function bytes(value) {
  let rest = value;
  let unit = -1;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return unitFormats[unit]?.format(rest) ?? `${count(Math.round(rest))} B`;
}

/**
 * @param {number} share
 * @param {number} whole
 */
export const percent = (share, whole) => (whole > 0 ? percentFormat.format(share / whole) : '–');

/** @param {string} time */
export const absolute = (time) => absoluteFormat.format(new Date(time));

/** @param {string} time */
export const dateOf = (time) => dateFormat.format(new Date(time));

/** @param {string} time */
export function relative(time) {
  const seconds = Math.round((Date.parse(time) - now()) / 1000);
  const [unit, length] = SPANS.find(([, span]) => Math.abs(seconds) >= span) ?? ['second', 1];
  // Under a minute every second is news to nobody.
  return unit === 'second' ? 'just now' : relativeFormat.format(Math.trunc(seconds / length), unit);
}

/** @param {string | undefined} time */
export function ago(time) {
  if (time === undefined) return el('span', { class: 'quiet' }, 'never');
  return el('time', { datetime: time, title: absolute(time) }, relative(time));
}

/** What was said some time ago is older now. */
export function refreshTimes() {
  for (const element of document.querySelectorAll('time')) {
    const text = relative(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** @param {string} digest */
export const shortDigest = (digest) => digest.slice(digest.indexOf(':') + 1).slice(0, 12);

/** Nobody reads 64 digits in a sentence. @param {string} text */
export const withShortDigests = (text) => text.replaceAll(/\b(sha\d+:[\da-f]{12})[\da-f]{20,}/g, '$1…');

/** @param {string} mediaType */
export function kindOf(mediaType) {
  if (/index|manifest\.list/.test(mediaType)) return 'index';
  if (/manifest/.test(mediaType)) return 'manifest';
  if (/config|container\.image/.test(mediaType)) return 'config';
  const compression = /[.+](gzip|zstd)$/.exec(mediaType)?.[1];
  if (/layer|rootfs/.test(mediaType)) return compression ? `layer, ${compression}` : 'layer';
  return mediaType;
}
