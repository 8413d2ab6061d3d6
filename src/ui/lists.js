/** The lists beside: the latest errors, the clients that ask, and what is pinned. */
/** @import { ClientView, Page, PinView, TroubleView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
/** @import { Api } from './api.js' */
import { el, isInHand, part, replace, table } from './dom.js';
import { ago, bytes, count, withShortDigests } from './format.js';
import { manifestHref } from './links.js';

const TROUBLES_SHOWN = 5;
const CLIENTS_SHOWN = 50;
const PINS_SHOWN = 200;

/** @returns {(troubles: readonly TroubleView[]) => void} */
export function createTroubles() {
  return (troubles) => {
    const items = troubles.map(troubleItem);
    const [first, rest] = [items.slice(0, TROUBLES_SHOWN), items.slice(TROUBLES_SHOWN)];
    replace(
      part('trouble-list'),
      items.length === 0 && el('p', { class: 'empty' }, 'None since the start.'),
      items.length > 0 && el('ul', { class: 'plain troubles' }, ...first),
      rest.length > 0 &&
        el(
          'details',
          { 'data-key': 'more troubles' },
          el('summary', { 'data-key': 'more troubles summary' }, `${count(rest.length)} more`),
          el('ul', { class: 'plain troubles' }, ...rest),
        ),
    );
  };
}

/** @param {TroubleView} trouble */
function troubleItem({ at, level, message, reason, requestId }) {
  return el(
    'li',
    { class: `trouble ${level}` },
    el(
      'p',
      {},
      el('span', { class: `tag ${level}` }, level === 'warn' ? 'warning' : level),
      el('span', { class: 'quiet' }, ago(at)),
    ),
    el('p', { title: message }, withShortDigests(message)),
    reason !== undefined && el('p', { class: 'quiet', title: reason }, withShortDigests(reason)),
    requestId !== undefined && el('p', { class: 'quiet' }, 'request ', el('code', {}, requestId)),
  );
}

/**
 * @param {Api} api
 * @returns {() => Promise<void>}
 */
export function createClients(api) {
  return async () => {
    const clients = /** @type {readonly ClientView[]} */ (await api.get('clients'));
    const rows = clients
      .slice(0, CLIENTS_SHOWN)
      .map(({ address, userAgent, requests, lastSeenAt }) =>
        el(
          'tr',
          {},
          el(
            'th',
            { scope: 'row' },
            address,
            el('span', { class: 'sub' }, userAgent === '' ? 'does not say what it is' : userAgent),
          ),
          el('td', { class: 'number' }, count(requests)),
          el('td', {}, ago(lastSeenAt)),
        ),
      );
    replace(
      part('client-list'),
      rows.length === 0
        ? el('p', { class: 'empty' }, 'Nobody has asked for anything since the start.')
        : table(['Address', { name: 'Requests', class: 'number' }, 'Last'], rows, 'Clients'),
    );
  };
}

/**
 * @param {Api} api
 * @param {Actions} actions
 * @returns {() => Promise<void>}
 */
export function createPins(api, actions) {
  return async () => {
    const page = /** @type {Page<PinView>} */ (await api.get('pins', { limit: PINS_SHOWN }));
    const items = page.items.map(({ reference, bytes: size, isHeld }) =>
      el(
        'li',
        { class: 'pin' },
        el(
          'p',
          {},
          isHeld
            ? el('a', { href: manifestHref(reference), 'data-key': `pinned ${reference}` }, reference)
            : reference,
          el('span', { class: 'sub' }, isHeld ? bytes(size) : 'not here yet'),
        ),
        actions.button('Unpin', () => actions.unpin(reference), {
          'aria-label': `Unpin ${reference}, from the list of pins`,
          'data-key': `unpin ${reference}`,
        }),
      ),
    );
    if (isInHand(part('pin-list'))) return;
    replace(
      part('pin-list'),
      items.length === 0
        ? el('p', { class: 'empty' }, 'Nothing is. What is pinned is never evicted.')
        : el('ul', { class: 'plain' }, ...items),
      page.next !== undefined &&
        el('p', { class: 'quiet' }, `The first ${PINS_SHOWN}; “entrepot pin” lists all.`),
    );
  };
}
