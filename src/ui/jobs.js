/** Jobs: those that run, blob by blob where they prefetch, and how the last ones ended. */
/** @import { JobKind, JobView, PrefetchBlobView, PrefetchView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
/** @import { Row } from './dom.js' */
import { purged } from './actions.js';
import { el, keyedList, part, setText } from './dom.js';
import { ago, bytes, counted, shortDigest } from './format.js';
import { progressBar } from './progress.js';

const ENDED_SHOWN = 3;

/** @type {Readonly<Record<JobKind, string>>} */
const TITLES = {
  prefetch: 'Prefetch',
  evict: 'Eviction',
  scrub: 'Scrub',
  check: 'Index check',
  purge: 'Purge',
};
/** @type {Readonly<Record<JobView['state'], string>>} */
const OUTCOMES = { running: 'running', succeeded: 'done', failed: 'failed', cancelled: 'cancelled' };
/** @type {Readonly<Record<PrefetchBlobView['state'], string>>} */
const BLOB_STATES = {
  waiting: 'waiting',
  running: '',
  done: 'fetched',
  present: 'was here',
  uncached: 'no room to keep it',
  failed: 'failed',
};

/**
 * @param {Actions} actions
 * @returns {(jobs: readonly JobView[]) => void}
 */
export function createJobs(actions) {
  const list = part('jobs');
  const show = keyedList(
    list,
    ({ id }) => id,
    (/** @type {JobView} */ job) => rowOf(job, actions),
  );
  return (jobs) => {
    const running = jobs.filter(({ state }) => state === 'running');
    const ended = jobs.filter(({ state }) => state !== 'running').slice(0, ENDED_SHOWN);
    show([...running, ...ended]);
    list.hidden = running.length + ended.length === 0;
  };
}

/**
 * @param {JobView} first
 * @param {Actions} actions
 * @returns {Row<JobView>}
 */
function rowOf(first, actions) {
  let current = first;
  const state = el('span', { class: 'tag' });
  const time = el('span', { class: 'quiet' });
  const text = el('p', { class: 'quiet' });
  const cancel = actions.button('Cancel', () => actions.cancel(current), {
    'aria-label': `Cancel the ${TITLES[first.kind].toLowerCase()}`,
  });
  const parts = el('ul', { class: 'plain' });
  const showParts = keyedList(parts, ({ reference }) => reference, referenceRow);
  const element = el(
    'li',
    { class: 'job' },
    el(
      'p',
      { class: 'transfer-head' },
      el('span', { class: 'name' }, TITLES[first.kind]),
      state,
      time,
      cancel,
    ),
    text,
    parts,
  );
  /** @type {JobView['state'] | undefined} */
  let shown;
  return {
    element,
    update: (job) => {
      current = job;
      cancel.hidden = job.state !== 'running';
      setText(text, textOf(job));
      text.hidden = text.textContent === '';
      showParts(job.prefetch ?? []);
      if (job.state === shown) return;
      shown = job.state;
      setText(state, OUTCOMES[job.state]);
      state.className = `tag ${job.state}`;
      time.replaceChildren(ago(job.endedAt ?? job.startedAt));
      for (const details of parts.querySelectorAll('details')) details.open = job.state === 'running';
    },
  };
}

/** @param {JobView} job */
function textOf({ error, evict, scrub, purge }) {
  if (error !== undefined) return error;
  if (purge) return purged(purge);
  if (evict)
    return `Freed ${bytes(evict.freedBytes)}: ${counted(evict.blobs, 'blob')}, ${counted(evict.manifests, 'manifest')}.`;
  if (!scrub) return '';
  return `${counted(scrub.scannedBlobs, 'blob')} read, ${bytes(scrub.scannedBytes)}; ${scrub.corruptBlobs === 0 ? 'none' : counted(scrub.corruptBlobs, 'blob')} corrupt.`;
}

/**
 * @param {PrefetchView} first
 * @returns {Row<PrefetchView>}
 */
function referenceRow(first) {
  const bar = progressBar(first.reference);
  const amount = el('span', { class: 'amount' });
  const summary = el('summary', {}, 'Blobs');
  const error = el('p', { class: 'bad' });
  const blobs = el('ul', { class: 'plain blobs' });
  const showBlobs = keyedList(blobs, ({ digest, platform }) => `${digest} ${platform ?? ''}`, blobRow);
  const details = el('details', {}, summary, blobs);
  const element = el(
    'li',
    { class: 'transfer' },
    el('p', { class: 'transfer-head' }, el('span', { class: 'name' }, first.reference), amount),
    bar.element,
    error,
    details,
  );
  return {
    element,
    update: (view) => {
      const size = view.blobs.reduce((sum, blob) => sum + blob.size, 0);
      const done = view.blobs.reduce((sum, blob) => sum + doneOf(blob), 0);
      const isKnown = view.state !== 'waiting' && (view.blobs.length > 0 || view.state !== 'running');
      bar.set(
        view.state === 'done' ? 1 : done,
        view.state === 'done' ? 1 : isKnown ? Math.max(size, 1) : undefined,
      );
      bar.element.classList.toggle('waiting', view.state === 'waiting');
      const words = {
        waiting: 'waiting',
        running: `${bytes(done)} of ${bytes(size)}`,
        done: view.blobs.length > 0 ? bytes(size) : 'done',
        failed: 'failed',
      };
      setText(amount, words[view.state]);
      setText(error, view.error ?? '');
      error.hidden = view.error === undefined;
      setText(summary, counted(view.blobs.length, 'blob'));
      details.hidden = view.blobs.length === 0;
      showBlobs(view.blobs);
    },
  };
}

/** @param {PrefetchBlobView} blob */
const doneOf = ({ state, bytes: done, size }) => (state === 'present' || state === 'done' ? size : done);

/**
 * @param {PrefetchBlobView} first
 * @returns {Row<PrefetchBlobView>}
 */
function blobRow(first) {
  const bar = progressBar(
    `Blob ${shortDigest(first.digest)}${first.platform ? ` of ${first.platform}` : ''}`,
  );
  const amount = el('span', { class: 'amount' });
  const element = el(
    'li',
    { class: 'blob' },
    el('code', { title: first.digest }, shortDigest(first.digest)),
    el('span', { class: 'quiet platform' }, first.platform ?? ''),
    bar.element,
    amount,
  );
  return {
    element,
    update: (blob) => {
      bar.set(doneOf(blob), Math.max(blob.size, 1));
      const word = BLOB_STATES[blob.state];
      setText(
        amount,
        word === '' ? `${bytes(blob.bytes)} of ${bytes(blob.size)}` : `${bytes(blob.size)}, ${word}`,
      );
      element.classList.toggle('bad', blob.state === 'failed');
    },
  };
}
