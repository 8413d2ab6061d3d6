/** What can be started by hand: eviction, scrub, index check, and purging everything; and when it was last done. */
/** @import { StateView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
import { el, part, replace } from './dom.js';
import { ago, bytes, counted } from './format.js';

/**
 * @param {Actions} actions
 * @returns {(state: StateView) => void}
 */
export function createUpkeep(actions) {
  const scrub = el('p', { class: 'quiet' });
  const kept = el('p', { class: 'quiet' });
  const purge = actions.button(
    'Purge everything …',
    async () => {
      await actions.purge(
        { everything: true },
        'Purge everything?',
        'Every cached image of every upstream goes, pinned ones too. The pins stay, for what comes next.',
      );
    },
    { class: 'button small danger-text' },
  );
  part('upkeep-list').append(
    kept,
    scrub,
    el(
      'p',
      { class: 'buttons start' },
      actions.button('Evict …', () => actions.evict()),
      actions.button('Scrub', () => actions.scrub()),
      actions.button('Check index', () => actions.check()),
      purge,
    ),
  );
  let shown = '';
  return ({ cache, scrub: progress }) => {
    const text = JSON.stringify([cache.blobs, cache.manifests, cache.partialBytes, progress]);
    if (text === shown) return;
    shown = text;
    const { isRunning, scannedBlobs, scannedBytes, corruptBlobs, lastCompletedAt } = progress;
    replace(
      kept,
      `${counted(cache.blobs, 'blob')} and ${counted(cache.manifests, 'manifest')}${cache.partialBytes > 0 ? `, ${bytes(cache.partialBytes)} half downloaded` : ''}.`,
    );
    replace(
      scrub,
      isRunning ? `A scrub runs: ${counted(scannedBlobs, 'blob')}, ${bytes(scannedBytes)} read. ` : '',
      'Last whole scrub: ',
      ago(lastCompletedAt),
      corruptBlobs > 0 ? `; ${counted(corruptBlobs, 'corrupt blob')} found.` : '.',
    );
  };
}
