/** One repository: its tags, to be pinned, purged and opened, and all its manifests, those without a tag too. */
/** @import { ManifestSummaryView, Page, TagView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
/** @import { Shown } from './catalog.js' */
import { el, table } from './dom.js';
import { ago, bytes, kindOf } from './format.js';
import { breadcrumbs, digestLink, manifestHref } from './links.js';

const PAGE_SIZE = 50;
const MANIFESTS_SHOWN = 200;

/**
 * @param {string} repository
 * @param {Shown} shown
 */
export async function repositoryView(repository, { api, actions, pages }) {
  const [tags, manifests] = await Promise.all([
    pages.read(
      async (after) =>
        /** @type {Page<TagView>} */ (await api.get('tags', { repository, after, limit: PAGE_SIZE })),
    ),
    /** @type {Promise<Page<ManifestSummaryView>>} */ (
      api.get('manifests', { repository, limit: MANIFESTS_SHOWN })
    ),
  ]);
  const purge = actions.button(
    'Purge repository',
    async () => {
      const text = 'All its tags and manifests go, and the blobs that no other repository holds.';
      if (await actions.purge({ repository }, `Purge ${repository}?`, text)) location.hash = '#/';
    },
    { 'data-key': 'purge all' },
  );
  return [
    breadcrumbs([['All repositories', '#/'], [repository]]),
    el('div', { class: 'view-head' }, el('h3', { tabindex: '-1' }, repository), purge),
    tags.items.length === 0
      ? el('p', { class: 'empty' }, 'No tag of it is known. It was pulled by digest.')
      : table(
          [
            'Tag',
            { name: 'Platforms', class: 'wide' },
            { name: 'Size', class: 'number' },
            { name: 'Last used', class: 'wide' },
            { name: 'Actions', class: 'does' },
          ],
          tags.items.map((tag) => tagRow(repository, tag, actions)),
          `Tags of ${repository}`,
        ),
    pages.buttons(tags.next),
    manifests.items.length > 0 && manifestList(repository, manifests),
  ];
}

/**
 * @param {string} repository
 * @param {TagView} view
 * @param {Actions} actions
 */
function tagRow(repository, view, actions) {
  const reference = `${repository}:${view.tag}`;
  const platforms = view.platforms.join(', ');
  return el(
    'tr',
    {},
    el(
      'th',
      { scope: 'row' },
      el('a', { href: manifestHref(reference), 'data-key': `open ${reference}` }, view.tag),
      view.isPinned && el('span', { class: 'tag pinned' }, 'pinned'),
      !view.isHeld && el('span', { class: 'tag' }, 'not held'),
      el('span', { class: 'sub narrow' }, platforms),
      el('span', { class: 'sub' }, 'checked ', ago(view.checkedAt)),
    ),
    el('td', { class: 'wide platforms' }, platforms === '' ? '–' : platforms),
    el('td', { class: 'number' }, bytes(view.bytes)),
    el('td', { class: 'wide' }, ago(view.lastUsedAt)),
    el('td', { class: 'does' }, ...referenceButtons(reference, view, actions)),
  );
}

/**
 * @param {string} reference
 * @param {{ readonly isPinned: boolean, readonly bytes?: number }} view
 * @param {Actions} actions
 * @param {() => void} [onPurged]
 */
export function referenceButtons(reference, { isPinned, bytes: size }, actions, onPurged) {
  const pin = actions.button(
    isPinned ? 'Unpin' : 'Pin',
    () => (isPinned ? actions.unpin(reference) : actions.pin(reference)),
    { 'aria-label': `${isPinned ? 'Unpin' : 'Pin'} ${reference}`, 'data-key': `pin ${reference}` },
  );
  const purge = actions.button(
    'Purge',
    async () => {
      const text = `It goes with all that only it needs${size === undefined ? '' : `, at most ${bytes(size)} on the disk`}.${isPinned ? ' The pin stays, for what comes next.' : ''}`;
      if (await actions.purge({ reference }, `Purge ${reference}?`, text)) onPurged?.();
    },
    { 'aria-label': `Purge ${reference}`, 'data-key': `purge ${reference}` },
  );
  return [pin, purge];
}

/**
 * @param {string} repository
 * @param {Page<ManifestSummaryView>} page
 */
function manifestList(repository, { items, next }) {
  const rows = items.map(({ digest, mediaType, tags, lastUsedAt }) =>
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        digestLink(repository, digest),
        el('span', { class: 'sub' }, tags.join(', ')),
      ),
      el('td', {}, kindOf(mediaType)),
      el('td', { class: 'wide' }, ago(lastUsedAt)),
    ),
  );
  return el(
    'details',
    { 'data-key': 'manifests' },
    el(
      'summary',
      { 'data-key': 'manifests summary' },
      next === undefined ? 'All manifests' : `The first ${MANIFESTS_SHOWN} manifests`,
    ),
    table(['Digest', 'Kind', { name: 'Last used', class: 'wide' }], rows, `Manifests of ${repository}`),
  );
}
