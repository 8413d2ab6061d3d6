/** One manifest: what it is, and what it points to: platforms of an index, or config and layers, and who shares them. */
/** @import { ContentView, ManifestView } from '../admin/views.ts' */
/** @import { Shown } from './catalog.js' */
import { el, table } from './dom.js';
import { absolute, ago, bytes, count, counted, kindOf, shortDigest } from './format.js';
import { breadcrumbs, digestLink, repositoryHref } from './links.js';
import { referenceButtons } from './repository-view.js';

/**
 * @param {string} reference
 * @param {Shown} shown
 */
export async function manifestView(reference, { api, actions }) {
  const view = /** @type {ManifestView} */ (await api.get('manifest', { reference }));
  const { repository } = view;
  const ownName = reference.slice(repository.length + 1);
  const shortName = ownName.includes(':') ? shortDigest(ownName) : ownName;
  return [
    breadcrumbs([['All repositories', '#/'], [repository, repositoryHref(repository)], [shortName]]),
    el(
      'div',
      { class: 'view-head' },
      el('h3', { tabindex: '-1' }, ownName.includes(':') ? `${repository}@${shortName}` : reference),
      el(
        'div',
        { class: 'does' },
        ...referenceButtons(reference, view, actions, () => {
          location.hash = repositoryHref(repository);
        }),
      ),
    ),
    factsOf(view),
    view.manifests.length > 0 && platformTable(view),
    view.layers.length + (view.config ? 1 : 0) > 0 && contentTable(view),
  ];
}

/** @param {ManifestView} view */
function factsOf(view) {
  const { layers, config, subject } = view;
  const content = [...layers, ...(config ? [config] : [])];
  /** @type {readonly (readonly [string, Node | string | undefined])[]} */
  const facts = [
    ['Digest', el('code', { class: 'digest' }, view.digest)],
    ['Media type', view.mediaType],
    ['Platform', view.platform],
    ['Tags', view.tags.length === 0 ? undefined : view.tags.join(', ')],
    ['About', subject === undefined ? undefined : digestLink(view.repository, subject)],
    [
      'Size',
      content.length === 0 ? undefined : bytes(content.reduce((sum, { size }) => sum + size, view.size)),
    ],
    ['Upstream', view.upstream],
    [
      'Last used',
      el('span', {}, ago(view.lastUsedAt), el('span', { class: 'quiet' }, `, ${absolute(view.lastUsedAt)}`)),
    ],
    ['Pinned', view.isPinned ? 'yes, never evicted' : undefined],
  ];
  return el(
    'dl',
    { class: 'facts' },
    ...facts.flatMap(([name, value]) =>
      value === undefined ? [] : [el('div', {}, el('dt', {}, name), el('dd', {}, value))],
    ),
  );
}

/** @param {ManifestView} view */
function platformTable({ repository, manifests }) {
  const rows = manifests.map((child) =>
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        child.isHeld
          ? digestLink(repository, child.digest, child.platform ?? shortDigest(child.digest))
          : (child.platform ?? shortDigest(child.digest)),
        el('code', { class: 'sub', title: child.digest }, shortDigest(child.digest)),
      ),
      el('td', {}, heldText(child)),
    ),
  );
  return table(['Platform', 'Held'], rows, 'Platforms');
}

/** @param {ManifestView} view */
function contentTable({ config, layers }) {
  const rows = [...(config ? [config] : []), ...layers].map((content) =>
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        el('code', { title: content.digest }, shortDigest(content.digest)),
        el(
          'span',
          { class: 'sub', title: content.mediaType },
          content === config ? 'config' : kindOf(content.mediaType),
        ),
      ),
      el('td', { class: 'number' }, bytes(content.size)),
      el('td', {}, heldText(content)),
    ),
  );
  return table(
    ['Blob', { name: 'Size', class: 'number' }, 'Held'],
    rows,
    `Config and layers, ${count(rows.length)}`,
  );
}

/** @param {ContentView} content */
function heldText({ isHeld, repositories }) {
  if (!isHeld) return el('span', { class: 'quiet' }, 'not here');
  return repositories > 1 ? `in ${counted(repositories, 'repository', 'repositories')}` : 'here alone';
}
