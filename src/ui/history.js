/** The traffic panel: which time is shown, its chart, and the same in words and as a table. */
/** @import { HistoryView } from '../admin/views.ts' */
/** @import { Api } from './api.js' */
/** @import { Slot } from './chart.js' */
import { drawChart, slotsOf } from './chart.js';
import { el, part, replace, setText, table } from './dom.js';
import { absolute, bytes, count, counted, now, percent } from './format.js';

const RANGES = /** @type {const} */ ([
  { name: '1 h', words: 'the last hour', seconds: 3600, step: 60 },
  { name: '24 h', words: 'the last 24 hours', seconds: 86_400, step: 1800 },
  { name: '7 d', words: 'the last 7 days', seconds: 7 * 86_400, step: 3 * 3600 },
  { name: '30 d', words: 'the last 30 days', seconds: 30 * 86_400, step: 12 * 3600 },
]);

/**
 * @param {Api} api
 * @returns {() => Promise<void>} reads it anew
 */
export function createHistory(api) {
  /** @type {typeof RANGES[number]} */
  let range = RANGES[1];
  /** @type {{ readonly words: string, readonly slots: readonly Slot[] }} */
  let shown = { words: '', slots: [] };
  /** @type {number | undefined} */
  let pointedX;
  const readout = el('p', { class: 'readout' });
  const canvas = el('div', { class: 'chart' });
  const inWords = el('div', {
    class: 'table-scroll',
    tabindex: '0',
    role: 'region',
    'aria-label': 'Traffic as a table',
  });
  const details = el('details', { class: 'as-table' }, el('summary', {}, 'As a table'), inWords);
  part('history').append(readout, canvas, legend(), details);

  const draw = () => {
    const { words, slots } = shown;
    const summary = `${words}: ${inText(sumOf(slots))}`;
    const { chart, point } = drawChart(slots, Math.floor(canvas.clientWidth), (slot, clientX) => {
      pointedX = clientX;
      setText(
        readout,
        slot ? `${absolute(new Date(slot.at).toISOString())}: ${inText(slot)}` : capitalized(summary),
      );
    });
    chart.setAttribute('aria-label', `Hit ratio and bytes served over ${summary}`);
    canvas.replaceChildren(chart);
    // It is drawn anew while somebody looks at a part of it.
    point(pointedX);
    fillTable(inWords, slots, words);
  };
  const refresh = async () => {
    const asked = range;
    const view = /** @type {HistoryView} */ (
      await api.get('history', { from: asked.seconds, step: asked.step })
    );
    if (asked !== range) return;
    shown = { words: asked.words, slots: slotsOf(view, asked, now()) };
    draw();
  };

  for (const choice of RANGES) {
    const input = el('input', {
      type: 'radio',
      name: 'range',
      value: choice.name,
      checked: choice === range,
    });
    input.addEventListener('change', () => {
      range = choice;
      void refresh();
    });
    part('ranges').append(el('label', { 'aria-label': choice.words }, input, el('span', {}, choice.name)));
  }
  let width = 0;
  new ResizeObserver(() => {
    if (width === canvas.clientWidth) return;
    width = canvas.clientWidth;
    if (shown.slots.length > 0) draw();
  }).observe(canvas);
  return refresh;
}

/**
 * @param {Element} place
 * @param {readonly Slot[]} slots
 * @param {string} words
 */
function fillTable(place, slots, words) {
  const rows = slots
    .filter(({ requests }) => requests > 0)
    .toReversed()
    .map((slot) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row' }, absolute(new Date(slot.at).toISOString())),
        ...[
          count(slot.requests),
          percent(slot.hits, slot.requests),
          percent(slot.hitBytes, slot.servedBytes),
          bytes(slot.servedBytes),
          bytes(slot.fetchedBytes),
        ].map((text) => el('td', { class: 'number' }, text)),
      ),
    );
  const numbers = ['Requests', 'Hits', 'Hits in bytes', 'Served', 'Fetched'].map((name) => ({
    name,
    class: 'number',
  }));
  replace(
    place,
    rows.length === 0
      ? el('p', { class: 'empty' }, 'Nothing was asked for.')
      : table(['From', ...numbers], rows, `Traffic of ${words}`),
  );
}

function legend() {
  const keys = [
    ['ratio', 'hit ratio'],
    ['hit', 'served from the cache'],
    ['missed', 'served while it was fetched'],
  ];
  return el(
    'p',
    { class: 'legend', 'aria-hidden': 'true' },
    ...keys.map(([kind, name]) => el('span', { class: `key ${kind}` }, name)),
  );
}

/** @param {readonly Slot[]} slots */
function sumOf(slots) {
  const sum = (/** @type {'requests' | 'hits' | 'servedBytes' | 'hitBytes' | 'fetchedBytes'} */ name) =>
    slots.reduce((total, slot) => total + slot[name], 0);
  return {
    ...{ requests: sum('requests'), hits: sum('hits'), servedBytes: sum('servedBytes') },
    ...{ hitBytes: sum('hitBytes'), fetchedBytes: sum('fetchedBytes') },
  };
}

/** @param {Omit<Slot, 'at'>} slot */
function inText({ requests, hits, servedBytes, fetchedBytes }) {
  if (requests === 0) return 'nothing was asked for';
  return `${counted(requests, 'request')}, ${percent(hits, requests)} hits, ${bytes(servedBytes)} served, ${bytes(fetchedBytes)} fetched`;
}

/** @param {string} text */
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
