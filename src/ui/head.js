/** The head of the page: version, health in words, the offline switch, the theme, and whether the mirror is reached. */
/** @import { HealthView, StateView } from '../admin/views.ts' */
/** @import { Actions } from './actions.js' */
/** @import { Loss } from './events.js' */
import { ApiError } from './api.js';
import { el, part, replace, setText } from './dom.js';
import { ago, counted } from './format.js';
import { REFUSED } from './actions.js';

const THEME = 'entrepot-theme';

/** @type {Readonly<Record<HealthView['status'], string>>} */
const WORDS = { ok: 'All is well', degraded: 'Serving, with trouble', 'not ready': 'Not serving' };

/**
 * @param {Actions} actions
 * @returns {(state: StateView) => void}
 */
export function createHead(actions) {
  /** @type {HTMLButtonElement} */
  const offline = part('offline');
  const health = part('health');
  actions.bind(offline, () => actions.setOffline(offline.getAttribute('aria-checked') !== 'true'));
  if (actions.areRefused) {
    setText(part('refused'), REFUSED);
    part('refused').hidden = false;
  }
  let version = '';
  return (state) => {
    const { status, faults, warnings } = state.health;
    setText(
      health,
      state.isOffline && status !== 'not ready' ? 'Offline: serving what is cached' : WORDS[status],
    );
    health.className = `health ${status === 'not ready' ? 'down' : status}`;
    offline.setAttribute('aria-checked', String(state.isOffline));
    const wrong = [...faults, ...warnings];
    const list = part('warnings');
    list.hidden = wrong.length === 0;
    if (wrong.join('\n') !== list.dataset['shown']) {
      list.dataset['shown'] = wrong.join('\n');
      replace(list, ...wrong.map((text) => el('li', {}, text)));
    }
    if (version === state.instance) return;
    version = state.instance;
    replace(
      part('version'),
      `${state.version}, started `,
      ago(state.startedAt),
      state.workers > 0 ? `, ${counted(state.workers, 'worker')}` : '',
    );
  };
}

/** @param {Loss | undefined} loss nothing when the mirror is reached */
export function showConnection(loss) {
  const banner = part('connection');
  banner.hidden = loss === undefined;
  document.body.classList.toggle('stale', loss !== undefined);
  if (loss === undefined) {
    banner.replaceChildren();
    return;
  }
  const { cause, retryInMs, retryNow } = loss;
  const isLocked = cause instanceof ApiError && cause.status === 401;
  // What it was before, nobody knows to be so any more; with the connection comes the state.
  setText(part('health'), isLocked ? 'Locked' : 'Not reached');
  part('health').className = `health ${isLocked ? '' : 'down'}`;
  const reason =
    cause instanceof ApiError
      ? `The mirror says no: ${cause.message}.`
      : 'The connection to the mirror is lost: what is shown is from before.';
  const again = el(
    'button',
    { type: 'button', class: 'button small', 'data-key': 'again' },
    isLocked ? 'Enter the token' : 'Try now',
  );
  again.addEventListener('click', () => {
    // Without an answer, loading it again would lose the page.
    if (isLocked) location.reload();
    else retryNow();
  });
  replace(
    banner,
    isLocked
      ? 'The mirror wants a token before it shows anything. '
      : `${reason} Trying again in ${counted(Math.round(retryInMs / 1000), 'second')}. `,
    again,
  );
}

export function createTheme() {
  /** @type {HTMLSelectElement} */
  const select = part('theme');
  const apply = (/** @type {string} */ theme) => {
    if (theme === '') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  };
  select.value = localStorage.getItem(THEME) ?? '';
  apply(select.value);
  select.addEventListener('change', () => {
    localStorage.setItem(THEME, select.value);
    apply(select.value);
  });
}
