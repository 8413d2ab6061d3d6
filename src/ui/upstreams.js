/** Where content comes from, and how each upstream and its hosts are, in words. */
/** @import { UpstreamView } from '../admin/views.ts' */
import { el, replace, part } from './dom.js';
import { count } from './format.js';
import { spanOf } from './figures.js';

/** @type {Readonly<Record<UpstreamView['hosts'][number]['circuit'], string>>} */
const CIRCUITS = { closed: 'answers', 'half-open': 'is tried again', open: 'does not answer, left alone' };
/** @type {Readonly<Record<UpstreamView['account'], string>>} */
const ACCOUNTS = {
  anonymous: 'asked without an account',
  password: 'asked with an account',
  token: 'asked with a token',
};

/** @returns {(upstreams: readonly UpstreamView[]) => void} */
export function createUpstreams() {
  let shown = '';
  return (upstreams) => {
    const text = JSON.stringify(upstreams);
    if (text === shown) return;
    shown = text;
    replace(part('upstream-list'), ...upstreams.map(itemOf));
  };
}

/** @param {UpstreamView} upstream */
function itemOf({ name, url, namespaces, isDefault, account, rateLimit, hosts }) {
  return el(
    'li',
    { class: 'upstream' },
    el('p', {}, el('strong', {}, name), isDefault && el('span', { class: 'tag' }, 'default')),
    el('p', { class: 'quiet' }, `${url}, ${ACCOUNTS[account]}`),
    namespaces.length > 0 && el('p', { class: 'quiet' }, `for ${namespaces.join(', ')}`),
    rateLimit?.remaining !== undefined &&
      el(
        'p',
        {},
        `${count(rateLimit.remaining)} ${rateLimit.limit === undefined ? '' : `of ${count(rateLimit.limit)} `}pulls left${
          rateLimit.windowSeconds === undefined ? '' : ` in ${spanOf(rateLimit.windowSeconds)}`
        }`,
      ),
    el(
      'ul',
      { class: 'hosts' },
      ...hosts.map(({ host, circuit }) =>
        el('li', { class: `host ${circuit}` }, el('span', { class: 'name' }, host), ` ${CIRCUITS[circuit]}`),
      ),
    ),
    hosts.length === 0 && el('p', { class: 'quiet' }, 'Not asked for anything lately.'),
  );
}
