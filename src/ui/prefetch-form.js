/** Asks which references to fetch before anybody pulls them, and for which platforms. */
/** @import { Actions } from './actions.js' */
import { ask } from './dialogs.js';
import { el, setText } from './dom.js';
import { counted } from './format.js';

/** What was entered and not taken, for one mistake in twenty lines. */
const draft = { references: '', platforms: '' };

/** @param {Actions} actions */
export async function askPrefetch(actions) {
  const references = el('textarea', {
    rows: 4,
    required: true,
    spellcheck: 'false',
    autocapitalize: 'off',
    placeholder: 'alpine:3\nghcr.io/owner/name:1.2',
  });
  const platforms = el('input', {
    type: 'text',
    spellcheck: 'false',
    placeholder: 'linux/amd64, linux/arm64',
  });
  references.value = draft.references;
  platforms.value = draft.platforms;
  const summary = el('p', { class: 'summary', role: 'status' });
  const summarize = () => setText(summary, inWords(listOf(references.value), listOf(platforms.value)));
  references.addEventListener('input', summarize);
  platforms.addEventListener('input', summarize);
  summarize();
  const isWanted = await ask({
    title: 'Prefetch images',
    content: [
      el('label', { class: 'field' }, 'References, one a line', references),
      el('label', { class: 'field' }, 'Platforms (all of them where none are given)', platforms),
      summary,
    ],
    accept: 'Prefetch',
  });
  if (!isWanted) return;
  Object.assign(draft, { references: references.value, platforms: platforms.value });
  await actions.prefetch(listOf(references.value), listOf(platforms.value));
  Object.assign(draft, { references: '', platforms: '' });
}

/** @param {string} text */
const listOf = (text) => [...new Set(text.split(/[\s,]+/).filter((word) => word !== ''))];

/**
 * @param {readonly string[]} references
 * @param {readonly string[]} platforms
 */
function inWords(references, platforms) {
  if (references.length === 0) return 'Nothing to fetch yet.';
  const which = platforms.length === 0 ? 'all platforms' : platforms.join(', ');
  return `Fetches ${counted(references.length, 'reference')} for ${which}, as far as it is not here. It counts against the upstream’s pull quota.`;
}
