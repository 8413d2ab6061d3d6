/** The cached images: which of the three views is open (repositories, one of them, a manifest) is told by the address. */
/** @import { Page, StateView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
/** @import { Api } from './api.js' */
import { ApiError } from './api.js';
import { el, isInHand, part, replace } from './dom.js';
import { manifestView } from './manifest-view.js';
import { repositoriesView } from './repositories-view.js';
import { repositoryView } from './repository-view.js';

const SEARCH_PAUSE_MS = 200;

/**
 * @typedef {object} Shown what a view is made with
 * @property {Api} api
 * @property {Actions} actions
 * @property {Pages} pages of the list that is shown
 * @property {string} search
 * @property {StateView | undefined} state
 */

/** Walks the pages of a list, there and back, and knows where it is. */
export class Pages {
  /** @type {(string | undefined)[]} */
  #visited = [undefined];
  /** @type {() => void} */
  #onTurn;

  /** @param {() => void} onTurn */
  constructor(onTurn) {
    this.#onTurn = onTurn;
  }

  /**
   * The page where it is; one that was emptied is left for the one before.
   * @template T
   * @param {(after: string | undefined) => Promise<Page<T>>} read
   */
  async read(read) {
    for (;;) {
      const page = await read(this.#visited.at(-1));
      if (page.items.length > 0 || this.#visited.length === 1) return page;
      this.#visited.pop();
    }
  }

  /** @param {string | undefined} next */
  buttons(next) {
    if (next === undefined && this.#visited.length === 1) return undefined;
    const back = el('button', { type: 'button', class: 'button small', 'data-key': 'back' }, 'Previous');
    const on = el('button', { type: 'button', class: 'button small', 'data-key': 'on' }, 'Next');
    back.disabled = this.#visited.length === 1;
    on.disabled = next === undefined;
    back.addEventListener('click', () => {
      this.#visited.pop();
      this.#onTurn();
    });
    on.addEventListener('click', () => {
      this.#visited.push(next);
      this.#onTurn();
    });
    return el(
      'nav',
      { class: 'pages', 'aria-label': 'Pages' },
      back,
      el('span', { class: 'quiet' }, `Page ${this.#visited.length}`),
      on,
    );
  }
}

/**
 * @param {Api} api
 * @param {Actions} actions
 * @param {() => StateView | undefined} readState
 * @returns {(isByItself?: boolean) => Promise<void>} reads it anew
 */
export function createCatalog(api, actions, readState) {
  const place = part('catalog-view');
  /** @type {HTMLInputElement} */
  const search = part('search');
  /**
   * Of each list, so that who comes back to one is where they were.
   * @type {Map<string, Pages>}
   */
  const lists = new Map();
  const pagesOf = (/** @type {string} */ list) => {
    const pages = lists.get(list) ?? new Pages(() => void turnPage());
    lists.set(list, pages);
    return pages;
  };
  let turn = 0;

  const refresh = async (isByItself = false) => {
    turn += 1;
    const mine = turn;
    const path = location.hash;
    const pages = pagesOf(path.replace(/^#\/?$/, ''));
    const shown = { api, actions, pages, search: search.value.trim(), state: readState() };
    const children = await contentOf(path, shown).catch((/** @type {unknown} */ error) => [failure(error)]);
    // Meanwhile somebody may have gone on.
    if (mine === turn && !(isByItself && isInHand(place))) replace(place, ...children);
  };
  const turnPage = async () => {
    await refresh();
    // The last page has no next one: that button keeps no focus.
    const other = place.querySelector('.pages button:enabled');
    if (document.activeElement === document.body && other instanceof HTMLElement) other.focus();
  };
  // As an address it would stand in place of the one that says what is shown.
  document.querySelector('.skip')?.addEventListener('click', (event) => {
    event.preventDefault();
    part('catalog').focus();
  });
  window.addEventListener('hashchange', () => {
    void refresh().then(() => {
      const heading = place.querySelector('h3') ?? part('catalog');
      heading.focus({ preventScroll: true });
      part('catalog').scrollIntoView({ block: 'nearest' });
    });
  });
  let timer = 0;
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      lists.clear();
      if (location.hash.startsWith('#/')) history.replaceState(null, '', '#');
      void refresh();
    }, SEARCH_PAUSE_MS);
  });
  return refresh;
}

/**
 * @param {string} path
 * @param {Shown} shown
 */
async function contentOf(path, shown) {
  const [, kind, name = ''] = /^#\/(repository|manifest)\/(.+)$/.exec(decodeURI(path)) ?? [];
  if (kind === 'repository') return repositoryView(name, shown);
  return kind === 'manifest' ? manifestView(name, shown) : repositoriesView(shown);
}

/** @param {unknown} error */
function failure(error) {
  const isGone = error instanceof ApiError && error.status === 404;
  const reason = error instanceof Error ? error.message : String(error);
  return el(
    'div',
    { class: 'empty' },
    el('h3', { tabindex: '-1' }, isGone ? 'This is not cached any more.' : 'This can’t be read now.'),
    el('p', {}, reason),
    el('p', {}, el('a', { href: '#/' }, 'All repositories')),
  );
}
