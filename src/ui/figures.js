/** The four figures that come first: bytes saved, hit ratio, pull quota left, and the disk against its bound. */
/** @import { RateLimitView, StateView, UpstreamView } from '../admin/views.ts' */
import { el, part, replace, setText } from './dom.js';
import { bytes, count, dateOf, percent } from './format.js';

/** Under this share of a quota or over that of a bound, it is time to look. */
const LITTLE_QUOTA = 0.2;
const MUCH_DISK = 0.9;

/** @returns {(state: StateView) => void} */
export function createFigures() {
  const saved = figure('Bytes saved');
  const ratio = figure('Hit ratio');
  const quota = figure('Pull quota left');
  const disk = figure('Disk used');
  part('figures').append(saved.element, ratio.element, quota.element, disk.element);
  const diskMeter = meter('Disk used of what the cache may take');
  disk.element.append(diskMeter.element);
  const quotaMeter = meter('Pulls left of the quota');
  quota.element.append(quotaMeter.element);
  return (state) => {
    const { sinceStart, recorded } = state.traffic;
    saved.set(bytes(recorded.savedBytes), [
      `${bytes(sinceStart.savedBytes)} since the start`,
      `recorded since ${dateOf(recorded.since)}`,
    ]);
    ratio.set(percent(recorded.hits, recorded.requests), [
      `${percent(recorded.hitBytes, recorded.servedBytes)} of the bytes`,
      `${count(recorded.hits)} of ${count(recorded.requests)} requests, ${bytes(recorded.servedBytes)} served`,
    ]);
    showQuota(quota, quotaMeter, state.upstreams);
    const { cache } = state;
    disk.set(bytes(cache.bytes), [
      cache.reachableBytes < cache.maxBytes
        ? `of ${bytes(cache.maxBytes)}, and the disk has room for only ${bytes(cache.reachableBytes)}`
        : `of ${bytes(cache.maxBytes)}`,
      `${bytes(cache.diskFreeBytes)} free on the disk${cache.pinnedBytes > 0 ? `, ${bytes(cache.pinnedBytes)} pinned` : ''}`,
    ]);
    const bound = Math.max(1, Math.min(cache.maxBytes, cache.reachableBytes));
    diskMeter.set(cache.bytes / bound, cache.bytes / bound > MUCH_DISK, percent(cache.bytes, bound));
  };
}

/**
 * @param {ReturnType<typeof figure>} shown
 * @param {ReturnType<typeof meter>} gauge
 * @param {readonly UpstreamView[]} upstreams
 */
function showQuota(shown, gauge, upstreams) {
  const limited = upstreams
    .flatMap(({ name, rateLimit }) => (rateLimit?.remaining === undefined ? [] : [{ name, rateLimit }]))
    .toSorted((a, b) => shareOf(a.rateLimit) - shareOf(b.rateLimit));
  const [tightest, ...others] = limited;
  gauge.element.hidden = tightest?.rateLimit.limit === undefined;
  if (!tightest) {
    shown.set('–', ['No upstream has told a limit', 'since the start']);
    return;
  }
  const { name, rateLimit } = tightest;
  const { remaining = 0, limit, windowSeconds } = rateLimit;
  shown.set(count(remaining), [
    [
      limit === undefined ? '' : `of ${count(limit)} `,
      windowSeconds === undefined ? '' : `in ${spanOf(windowSeconds)} `,
      `at ${name}`,
    ].join(''),
    ...others.map((other) => `${count(other.rateLimit.remaining ?? 0)} left at ${other.name}`),
  ]);
  if (limit !== undefined) {
    gauge.set(
      shareOf(rateLimit),
      shareOf(rateLimit) < LITTLE_QUOTA,
      `${count(remaining)} of ${count(limit)}`,
    );
  }
}

/** @param {RateLimitView} rateLimit */
function shareOf({ remaining = 0, limit }) {
  return limit === undefined || limit === 0 ? 1 : remaining / limit;
}

/** @param {number} seconds */
export function spanOf(seconds) {
  if (seconds % 3600 === 0) return seconds === 3600 ? 'an hour' : `${count(seconds / 3600)} hours`;
  return seconds % 60 === 0 ? `${count(seconds / 60)} minutes` : `${count(seconds)} seconds`;
}

/** @param {string} name */
function figure(name) {
  const value = el('p', { class: 'value' }, '–');
  const notes = el('ul', { class: 'notes' });
  return {
    element: el('div', { class: 'figure' }, el('h3', {}, name), value, notes),
    /**
     * @param {string} text
     * @param {readonly string[]} lines
     */
    set(text, lines) {
      setText(value, text);
      if (notes.childElementCount !== lines.length) replace(notes, ...lines.map(() => el('li')));
      for (const [index, line] of lines.entries()) {
        const item = notes.children[index];
        if (item) setText(item, line);
      }
    },
  };
}

/** @param {string} label */
function meter(label) {
  const bar = el('span');
  const element = el(
    'div',
    {
      class: 'meter',
      role: 'meter',
      'aria-label': label,
      'aria-valuemin': 0,
      'aria-valuemax': 100,
      'aria-valuenow': 0,
    },
    bar,
  );
  return {
    element,
    /**
     * @param {number} share
     * @param {boolean} isTight
     * @param {string} text
     */
    set(share, isTight, text) {
      const inside = Math.min(1, Math.max(0, share)) * 100;
      bar.style.width = `${inside}%`;
      element.classList.toggle('tight', isTight);
      element.setAttribute('aria-valuenow', String(Math.round(inside)));
      element.setAttribute('aria-valuetext', text);
    },
  };
}
