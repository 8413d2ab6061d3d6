/** A bar for something on its way, with how fast it comes. */
import { el } from './dom.js';

/** How much of the rate before stays in the one shown now: it shall not flicker. */
const INERTIA = 0.7;

/** @param {string} label */
export function progressBar(label) {
  const bar = el('span');
  const element = el(
    'div',
    { class: 'bar', role: 'progressbar', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 100 },
    bar,
  );
  return {
    element,
    /**
     * @param {number} bytes
     * @param {number | undefined} size
     */
    set(bytes, size) {
      element.classList.toggle('unknown', size === undefined);
      if (size === undefined) {
        element.removeAttribute('aria-valuenow');
        return;
      }
      const share = size === 0 ? 100 : Math.min(100, (bytes / size) * 100);
      bar.style.width = `${share}%`;
      element.setAttribute('aria-valuenow', String(Math.floor(share)));
    },
  };
}

const STALLED_MS = 2000;

/** @returns {(bytes: number) => number | undefined} bytes a second, once there are two numbers to tell it from */
export function rateMeter() {
  /** @type {{ bytes: number, at: number } | undefined} */
  let last;
  /** @type {number | undefined} */
  let rate;
  return (bytes) => {
    const at = performance.now();
    if (last && at - last.at < 250) return rate;
    if (last?.bytes === bytes && rate !== undefined) {
      // It may come in fits; what stands still for longer has no rate, and not half of what it had.
      if (at - last.at >= STALLED_MS) rate = 0;
      return rate;
    }
    if (last) {
      const current = Math.max(0, ((bytes - last.bytes) / (at - last.at)) * 1000);
      rate = rate === undefined ? current : rate * INERTIA + current * (1 - INERTIA);
    }
    last = { bytes, at };
    return rate;
  };
}
