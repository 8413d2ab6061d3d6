/** What the page asks and tells: confirmations, the token, and notices of what was done. */
import { el, part } from './dom.js';

const NOTICE_MS = 15_000;
const MOST_NOTICES = 4;

let lastId = 0;

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {readonly (Node | string)[]} content
 * @property {string} accept what the button says that does it
 * @property {boolean} [isDangerous]
 */

/**
 * Escape and Cancel say no, and the focus goes back to where it was.
 * @param {Question} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, content, accept, isDangerous = false }) {
  lastId += 1;
  const [titleId, contentId] = [`question-${lastId}`, `question-${lastId}-text`];
  const cancel = el('button', { type: 'button', class: 'button' }, 'Cancel');
  const go = el('button', { type: 'submit', class: `button ${isDangerous ? 'danger' : 'primary'}` }, accept);
  const form = el(
    'form',
    { method: 'dialog' },
    el('h2', { id: titleId }, title),
    el('div', { id: contentId, class: 'question' }, ...content),
    el('p', { class: 'buttons' }, cancel, go),
  );
  const dialog = el('dialog', { 'aria-labelledby': titleId, 'aria-describedby': contentId }, form);
  document.body.append(dialog);
  const { promise, resolve } = Promise.withResolvers();
  // The policy of the page lets no form be sent, not even to its own dialog.
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    dialog.close('yes');
  });
  cancel.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    resolve(dialog.returnValue === 'yes');
    dialog.remove();
  });
  dialog.showModal();
  // Enter by habit shall purge nothing.
  if (isDangerous) cancel.focus();
  return promise;
}

/**
 * @param {boolean} isWrong the one that was entered before
 * @returns {Promise<string | undefined>}
 */
export async function askToken(isWrong) {
  const input = el('input', {
    type: 'password',
    name: 'token',
    required: true,
    autofocus: true,
    autocomplete: 'off',
    'aria-invalid': isWrong ? 'true' : undefined,
    'aria-describedby': isWrong ? 'token-wrong' : undefined,
  });
  const accepted = await ask({
    title: 'This mirror wants a token',
    content: [
      el('label', { class: 'field' }, 'Admin token', input),
      ...(isWrong
        ? [
            el(
              'p',
              { id: 'token-wrong', class: 'bad', role: 'alert' },
              'The mirror does not accept that token.',
            ),
          ]
        : []),
      el(
        'p',
        { class: 'quiet' },
        'It is the one set as admin.token in the mirror’s configuration. This tab keeps it until it is closed.',
      ),
    ],
    accept: 'Use this token',
  });
  return accepted && input.value !== '' ? input.value.trim() : undefined;
}

/**
 * @param {string} text
 * @param {'good' | 'bad'} [kind]
 */
export function notify(text, kind = 'good') {
  const notices = part('notices');
  const close = el('button', { type: 'button', class: 'icon', 'aria-label': 'Dismiss' }, '×');
  const notice = el('div', { class: `notice ${kind}` }, el('p', {}, text), close);
  const remove = () => {
    // Not from under a reader's hands.
    if (!notice.matches(':hover, :focus-within')) notice.remove();
    else setTimeout(remove, NOTICE_MS);
  };
  close.addEventListener('click', () => notice.remove());
  setTimeout(remove, NOTICE_MS);
  notices.append(notice);
  while (notices.childElementCount > MOST_NOTICES) notices.firstElementChild?.remove();
}
