/** All cached repositories, with what they hold; without any, how to come by some. */
/** @import { Page, RepositoryView } from '../admin/views.ts' */
/** @import { Shown } from './catalog.js' */
import { el, table } from './dom.js';
import { ago, bytes, count, counted } from './format.js';
import { setupGuide } from './guide.js';
import { repositoryHref } from './links.js';

const PAGE_SIZE = 25;

/** @param {Shown} shown */
export async function repositoriesView({ api, actions, pages, search, state }) {
  const query = { limit: PAGE_SIZE, search: search === '' ? undefined : search };
  const page = await pages.read(
    async (after) => /** @type {Page<RepositoryView>} */ (await api.get('repositories', { ...query, after })),
  );
  if (page.items.length === 0) {
    return [search === '' ? nothingCached(state?.registryUrl) : nothingFound(search)];
  }
  const rows = page.items.map((view) => {
    const { repository, upstream, tags, manifests, blobs, bytes: size, sharedBytes, lastUsedAt } = view;
    const purge = actions.button(
      'Purge',
      async () => {
        await actions.purge(
          { repository },
          `Purge ${repository}?`,
          `All of it goes: ${counted(tags, 'tag')}, ${counted(manifests, 'manifest')}, ${counted(blobs, 'blob')}, about ${bytes(size - sharedBytes)} on the disk.`,
        );
      },
      { 'aria-label': `Purge ${repository}`, 'data-key': `purge ${repository}` },
    );
    return el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        el('a', { href: repositoryHref(repository), 'data-key': `open ${repository}` }, repository),
        el('span', { class: 'sub' }, upstream),
      ),
      el('td', { class: 'number wide' }, count(tags)),
      el(
        'td',
        { class: 'number' },
        bytes(size),
        el('span', { class: 'sub' }, sharedBytes > 0 ? `${bytes(sharedBytes)} shared` : ''),
      ),
      el('td', { class: 'wide' }, ago(lastUsedAt)),
      el('td', { class: 'does' }, purge),
    );
  });
  const columns = [
    'Repository',
    { name: 'Tags', class: 'number wide' },
    { name: 'Size', class: 'number' },
    { name: 'Last used', class: 'wide' },
    { name: 'Actions', class: 'does' },
  ];
  return [table(columns, rows, 'Cached repositories'), pages.buttons(page.next)];
}

/** @param {string | undefined} registryUrl */
function nothingCached(registryUrl) {
  return el(
    'div',
    { class: 'empty' },
    el('h3', { tabindex: '-1' }, 'Nothing is cached yet.'),
    el(
      'p',
      {},
      'Point a client here and pull something, or prefetch it: what one machine pulls, nobody downloads again.',
    ),
    registryUrl !== undefined && setupGuide(registryUrl),
  );
}

/** @param {string} search */
function nothingFound(search) {
  return el('p', { class: 'empty', role: 'status' }, `No cached repository has “${search}” in its name.`);
}
