/** Draws hit ratio and bytes over time: two bands over one time axis, as SVG of the width that there is. */
/** @import { HistoryView } from '../admin/views.ts' */
import { svg } from './dom.js';
import { bytes, percent } from './format.js';

const LEFT = 58;
const RIGHT = 8;
const RATIO = { top: 10, height: 62 };
const BYTES = { top: 100, height: 100 };
const HEIGHT = 228;
const WIDTH_OF_TICK = 96;

/**
 * @typedef {object} Slot what there was in one step
 * @property {number} at milliseconds since the epoch
 * @property {number} requests
 * @property {number} hits
 * @property {number} servedBytes
 * @property {number} hitBytes
 * @property {number} fetchedBytes
 */

/**
 * One slot for each step, those without a point too.
 * @param {HistoryView} history
 * @param {{ readonly seconds: number, readonly step: number }} range
 * @param {number} until milliseconds since the epoch
 * @returns {readonly Slot[]}
 */
export function slotsOf({ points, stepSeconds }, range, until) {
  const step = Math.max(range.step, stepSeconds) * 1000;
  const last = Math.floor(until / step);
  const length = Math.ceil((range.seconds * 1000) / step);
  const slots = Array.from({ length }, (_, index) => ({
    ...{ at: (last - length + 1 + index) * step, requests: 0, hits: 0 },
    ...{ servedBytes: 0, hitBytes: 0, fetchedBytes: 0 },
  }));
  for (const { at, ...counts } of points) {
    const slot = slots[Math.floor(Date.parse(at) / step) - last + length - 1];
    if (!slot) continue;
    slot.requests += counts.requests;
    slot.hits += counts.hits;
    slot.servedBytes += counts.servedBytes;
    slot.hitBytes += counts.hitBytes;
    slot.fetchedBytes += counts.fetchedBytes;
  }
  return slots;
}

/**
 * @param {readonly Slot[]} slots
 * @param {number} width
 * @param {(slot: Slot | undefined, clientX: number | undefined) => void} onPoint at what the pointer is
 */
export function drawChart(slots, width, onPoint) {
  const inner = Math.max(40, width - LEFT - RIGHT);
  const slotWidth = inner / slots.length;
  const chart = svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img' });
  const marker = svg('rect', {
    class: 'marker',
    y: RATIO.top,
    height: BYTES.top + BYTES.height - RATIO.top,
    width: slotWidth,
    visibility: 'hidden',
  });
  chart.append(
    marker,
    ...ratioBand(slots, slotWidth, width),
    ...bytesBand(slots, slotWidth, width),
    ...timeAxis(slots, slotWidth, inner),
  );
  const point = (/** @type {number | undefined} */ clientX) => {
    const x = clientX === undefined ? -1 : clientX - chart.getBoundingClientRect().left - LEFT;
    const index = Math.floor(x / slotWidth);
    const slot = slots[index];
    marker.setAttribute('visibility', slot ? 'visible' : 'hidden');
    marker.setAttribute('x', String(LEFT + index * slotWidth));
    onPoint(slot, clientX);
  };
  chart.addEventListener('pointermove', ({ clientX }) => point(clientX));
  chart.addEventListener('pointerleave', () => point(undefined));
  return { chart, point };
}

/**
 * @param {readonly Slot[]} slots
 * @param {number} slotWidth
 * @param {number} width
 */
function ratioBand(slots, slotWidth, width) {
  const y = (/** @type {number} */ ratio) => RATIO.top + RATIO.height * (1 - ratio);
  let path = '';
  let isDrawing = false;
  const dots = [];
  for (const [index, { requests, hits }] of slots.entries()) {
    if (requests === 0) {
      isDrawing = false;
      continue;
    }
    const [x, at] = [LEFT + (index + 0.5) * slotWidth, y(hits / requests)];
    path += `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${at.toFixed(1)}`;
    // A line of one point is not seen.
    const isAlone = !isDrawing && (slots[index + 1]?.requests ?? 0) === 0;
    if (isAlone) dots.push(svg('circle', { class: 'ratio-dot', cx: x, cy: at, r: 2.5 }));
    isDrawing = true;
  }
  return [
    ...[0, 0.5, 1].flatMap((ratio) => gridLine(y(ratio), percent(ratio, 1), width)),
    svg('path', { class: 'ratio', d: path }),
    ...dots,
  ];
}

/**
 * @param {readonly Slot[]} slots
 * @param {number} slotWidth
 * @param {number} width
 */
function bytesBand(slots, slotWidth, width) {
  const top = roundUp(
    Math.max(...slots.map(({ servedBytes, hitBytes }) => Math.max(servedBytes, hitBytes)), 1000),
  );
  const bottom = BYTES.top + BYTES.height;
  const heightOf = (/** @type {number} */ value) => (value / top) * BYTES.height;
  const barWidth = Math.max(1, slotWidth - Math.min(2, slotWidth / 4));
  const bars = slots.flatMap(({ servedBytes, hitBytes }, index) => {
    const x = LEFT + index * slotWidth + (slotWidth - barWidth) / 2;
    const [hit, missed] = [heightOf(hitBytes), heightOf(Math.max(0, servedBytes - hitBytes))];
    return [
      ...(hit > 0 ? [svg('rect', { class: 'hit', x, y: bottom - hit, width: barWidth, height: hit })] : []),
      ...(missed > 0
        ? [svg('rect', { class: 'missed', x, y: bottom - hit - missed, width: barWidth, height: missed })]
        : []),
    ];
  });
  return [
    ...[0, top / 2, top].flatMap((value) => gridLine(bottom - heightOf(value), bytes(value), width)),
    ...bars,
  ];
}

/**
 * @param {readonly Slot[]} slots
 * @param {number} slotWidth
 * @param {number} inner
 */
function timeAxis(slots, slotWidth, inner) {
  const [first, last] = [slots[0], slots.at(-1)];
  if (!first || !last) return [];
  const format = new Intl.DateTimeFormat(
    undefined,
    last.at - first.at > 2 * 86_400_000
      ? { month: 'short', day: 'numeric' }
      : { hour: '2-digit', minute: '2-digit' },
  );
  const every = Math.max(1, Math.ceil(slots.length / Math.max(2, Math.floor(inner / WIDTH_OF_TICK))));
  return slots.flatMap(({ at }, index) => {
    const x = LEFT + (index + 0.5) * slotWidth;
    // Counted from now, and not where it would stand out over the edge.
    if ((slots.length - 1 - index) % every !== Math.floor(every / 2) || x > LEFT + inner - 20) return [];
    return [svg('text', { class: 'tick', x, y: HEIGHT - 8, 'text-anchor': 'middle' }, format.format(at))];
  });
}

/**
 * @param {number} y
 * @param {string} label
 * @param {number} width
 */
function gridLine(y, label, width) {
  return [
    svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
    svg('text', { class: 'tick', x: LEFT - 8, y: y + 4, 'text-anchor': 'end' }, label),
  ];
}

/** To 1, 2 or 5 with noughts. @param {number} value */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10);
}
