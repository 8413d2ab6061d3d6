/** Where each thing of the catalog is on this page, and what it is called. */
import { el } from './dom.js';
import { shortDigest } from './format.js';

/** @param {string} repository */
export const repositoryHref = (repository) => `#/repository/${encodeURI(repository)}`;

/** @param {string} reference */
export const manifestHref = (reference) => `#/manifest/${encodeURI(reference)}`;

/**
 * @param {string} repository
 * @param {string} digest
 * @param {string} [text]
 */
export function digestLink(repository, digest, text) {
  const reference = `${repository}@${digest}`;
  return el(
    'a',
    { href: manifestHref(reference), title: digest, 'data-key': `open ${reference}` },
    text ?? el('code', {}, shortDigest(digest)),
  );
}

/** @param {readonly [name: string, href?: string][]} steps the last one is where we are */
export function breadcrumbs(steps) {
  return el(
    'nav',
    { class: 'crumbs', 'aria-label': 'Place' },
    el(
      'ol',
      {},
      ...steps.map(([name, href], index) =>
        el('li', {}, href === undefined ? name : el('a', { href, 'data-key': `crumb ${index}` }, name)),
      ),
    ),
  );
}
