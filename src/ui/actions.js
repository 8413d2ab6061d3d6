/** What can be done about the mirror from here: each asks where something goes, and says afterwards what went. */
/** @import { JobView, PinView, PurgeView } from '../admin/views.ts' */
/** @import { Api } from './api.js' */
/** @import { Attributes } from './dom.js' */
import { textOf } from './api.js';
import { ask, notify } from './dialogs.js';
import { el } from './dom.js';
import { bytes, counted } from './format.js';

/** @typedef {{ reference: string } | { repository: string } | { everything: true }} PurgeRequest */

export const REFUSED =
  'Changes are switched off: the admin listener is not on loopback, and no token is configured. Set admin.token.';

export class Actions {
  /** @type {Api} */
  #api;
  /** @type {() => void} */
  #onChanged;

  /**
   * @param {Api} api
   * @param {() => void} onChanged what is cached or pinned
   */
  constructor(api, onChanged) {
    this.#api = api;
    this.#onChanged = onChanged;
  }

  get areRefused() {
    return this.#api.access.changes === 'refused';
  }

  /**
   * A button for a change; where none are let in it says why. It can't be pressed twice at once.
   * @param {string} label
   * @param {() => Promise<void>} work
   * @param {Attributes} [attributes]
   */
  button(label, work, attributes = {}) {
    const button = el('button', { type: 'button', class: 'button small', ...attributes }, label);
    this.bind(button, work);
    return button;
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {() => Promise<void>} work
   */
  bind(button, work) {
    button.disabled = this.areRefused;
    if (this.areRefused) button.title = REFUSED;
    let isWorking = false;
    button.addEventListener('click', () => {
      if (isWorking) return;
      isWorking = true;
      button.setAttribute('aria-busy', 'true');
      void work()
        .catch((/** @type {unknown} */ error) =>
          notify(error instanceof Error ? error.message : String(error), 'bad'),
        )
        .finally(() => {
          isWorking = false;
          button.removeAttribute('aria-busy');
        });
    });
  }

  /**
   * @param {PurgeRequest} request
   * @param {string} title
   * @param {string} text what goes
   * @returns {Promise<boolean>} whether it is gone
   */
  async purge(request, title, text) {
    const isWanted = await ask({
      title,
      content: [
        el('p', {}, text),
        el(
          'p',
          { class: 'quiet' },
          'What other images share stays. The next pull fetches it from upstream again.',
        ),
      ],
      accept: 'Purge',
      isDangerous: true,
    });
    if (!isWanted) return false;
    const gone = /** @type {PurgeView} */ (await this.#api.send('POST', 'purge', request));
    notify(purged(gone));
    this.#onChanged();
    return true;
  }

  /** @param {string} reference */
  async pin(reference) {
    const pin = /** @type {PinView} */ (await this.#api.send('POST', 'pins', { reference }));
    notify(`${pin.reference} is pinned: it is never evicted.`);
    this.#onChanged();
  }

  /** @param {string} reference */
  async unpin(reference) {
    await this.#api.send('DELETE', `pins${textOf({ reference })}`);
    notify(`${reference} is not pinned any more.`);
    this.#onChanged();
  }

  /**
   * @param {readonly string[]} references
   * @param {readonly string[]} platforms
   */
  async prefetch(references, platforms) {
    await this.#api.send('POST', 'prefetch', { references, platforms });
    notify(`Fetching ${counted(references.length, 'reference')}.`);
  }

  async evict() {
    const isWanted = await ask({
      title: 'Evict what was used least?',
      content: [
        el(
          'p',
          {},
          'What was not asked for the longest goes, down to the mark that the bound sets. Nothing pinned goes.',
        ),
      ],
      accept: 'Evict',
    });
    if (isWanted) await this.#start('evict', 'Evicting.');
  }

  scrub() {
    return this.#start('scrub', 'Reading every blob again, slowly.');
  }

  check() {
    return this.#start('check', 'Checking the index.');
  }

  /** @param {JobView} job */
  async cancel(job) {
    await this.#api.send('DELETE', `jobs/${encodeURIComponent(job.id)}`);
  }

  /** @param {boolean} offline */
  async setOffline(offline) {
    await this.#api.send('PUT', 'offline', { offline });
  }

  /**
   * @param {string} path
   * @param {string} text
   */
  async #start(path, text) {
    await this.#api.send('POST', path, {});
    notify(text);
  }
}

/** @param {PurgeView} gone */
export function purged({ freedBytes, tags, manifests, blobs, inUse }) {
  const what = [counted(tags, 'tag'), counted(manifests, 'manifest'), counted(blobs, 'blob')].join(', ');
  const rest =
    inUse.blobs === 0
      ? ''
      : ` ${counted(inUse.blobs, 'blob')} (${bytes(inUse.bytes)}) will go when nobody reads ${inUse.blobs === 1 ? 'it' : 'them'} any more.`;
  return `Freed ${bytes(freedBytes)}: ${what}.${rest}`;
}
