/** How to point each kind of client at this mirror: what to paste, and where. */
import { el } from './dom.js';
import { notify } from './dialogs.js';

/**
 * @typedef {object} Recipe
 * @property {string} client
 * @property {string} file
 * @property {(url: URL) => string} text
 */

/** @type {readonly Recipe[]} */
const RECIPES = [
  {
    client: 'Docker',
    file: '/etc/docker/daemon.json, then systemctl restart docker',
    text: (url) => `{ "registry-mirrors": ["${url.origin}"] }`,
  },
  {
    client: 'containerd',
    file: '/etc/containerd/certs.d/docker.io/hosts.toml',
    text: (url) =>
      `server = "https://registry-1.docker.io"\n\n[host."${url.origin}"]\n  capabilities = ["pull", "resolve"]`,
  },
  {
    client: 'Podman',
    file: '/etc/containers/registries.conf',
    text: (url) =>
      `[[registry]]\nlocation = "docker.io"\n\n[[registry.mirror]]\nlocation = "${url.host}"\ninsecure = ${url.protocol === 'http:'}`,
  },
];

/** @param {string} registryUrl as the mirror knows it */
export function setupGuide(registryUrl) {
  const url = reachable(registryUrl);
  return el(
    'div',
    { class: 'guide' },
    ...RECIPES.map(({ client, file, text }, index) => {
      const code = text(url);
      const copy = el(
        'button',
        { type: 'button', class: 'button small', 'aria-label': `Copy for ${client}` },
        'Copy',
      );
      copy.addEventListener('click', () => {
        // Not there over plain HTTP from elsewhere: then it is selected, to be copied by hand.
        if (isSecureContext)
          void navigator.clipboard.writeText(code).then(() => notify(`Copied for ${client}.`));
        else getSelection()?.selectAllChildren(shown);
      });
      const shown = el('code', {}, code);
      return el(
        'details',
        { open: index === 0, 'data-key': `guide-${client}` },
        el('summary', {}, client),
        el('p', { class: 'quiet' }, file),
        el(
          'div',
          { class: 'snippet' },
          el('pre', { tabindex: '0', 'aria-label': `For ${client}` }, shown),
          copy,
        ),
      );
    }),
  );
}

/**
 * The mirror knows its port, and this page at which name it is reached.
 * @param {string} registryUrl
 */
function reachable(registryUrl) {
  const url = new URL(registryUrl);
  if (location.hostname !== '') url.hostname = location.hostname;
  return url;
}
