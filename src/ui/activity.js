/** What is under way: blobs that come in for clients, as they come. */
/** @import { DownloadView } from '../admin/views.ts' */
/** @import { Row } from './dom.js' */
import { el, keyedList, part, setText } from './dom.js';
import { bytes, counted, shortDigest } from './format.js';
import { progressBar, rateMeter } from './progress.js';

const RATE_MS = 1000;
/** @type {Readonly<Record<DownloadView['state'], string>>} */
const STATES = { queued: 'queued', running: '', storing: 'being stored' };

/** @returns {(downloads: readonly DownloadView[]) => void} */
export function createDownloads() {
  const show = keyedList(
    part('downloads'),
    ({ upstream, repository, digest }) => `${upstream} ${repository} ${digest}`,
    rowOf,
  );
  /** @type {readonly DownloadView[]} */
  let shown = [];
  // Nothing is sent of one that stands still, and its rate falls.
  setInterval(() => show(shown), RATE_MS);
  return (downloads) => {
    shown = downloads;
    show(downloads);
    part('downloads').hidden = downloads.length === 0;
    part('activity-empty').hidden = downloads.length > 0;
    // Said when one comes or goes, and not at each step of each.
    setText(
      part('activity-status'),
      downloads.length === 0
        ? 'Nothing is being downloaded.'
        : `${counted(downloads.length, 'blob')} on the way in.`,
    );
  };
}

/**
 * @param {DownloadView} first
 * @returns {Row<DownloadView>}
 */
function rowOf(first) {
  const bar = progressBar(`${first.repository}, blob ${shortDigest(first.digest)}`);
  const amount = el('span', { class: 'amount' });
  const more = el('span', { class: 'quiet' });
  const rateOf = rateMeter();
  const element = el(
    'li',
    { class: 'transfer' },
    el(
      'p',
      { class: 'transfer-head' },
      el('span', { class: 'name' }, first.repository),
      el('code', { title: first.digest }, shortDigest(first.digest)),
      amount,
    ),
    bar.element,
    more,
  );
  return {
    element,
    update: ({ state, bytes: done, size, clients, upstream }) => {
      bar.set(done, size);
      setText(amount, size === undefined ? bytes(done) : `${bytes(done)} of ${bytes(size)}`);
      const rate = state === 'running' ? rateOf(done) : undefined;
      setText(
        more,
        [
          STATES[state],
          rate === undefined ? '' : `${bytes(rate)}/s`,
          clients === 0 ? 'no client waits' : `${counted(clients, 'client')} waiting`,
          `from ${upstream}`,
        ]
          .filter((text) => text !== '')
          .join(' · '),
      );
    },
  };
}
