/** Makes elements of plain data. What comes from outside goes in as text, never as markup. */

/** @typedef {Node | string | undefined | false} Child */
/** @typedef {Readonly<Record<string, string | number | boolean | EventListener | undefined>>} Attributes */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes
 * @param {readonly Child[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(name.slice(2), value);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

/**
 * Part of the page that index.html promises.
 * @template {Element} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function part(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return /** @type {E} */ (/** @type {unknown} */ (found));
}

/**
 * Only what differs, so that a screen reader says nothing twice and a selection stays.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @template T
 * @typedef {{ readonly element: Element, readonly update: (item: T) => void }} Row
 */

/**
 * Keeps the elements of a list from one answer to the next, so that a button neither loses focus nor a click.
 * @template T
 * @param {Element} parent holds nothing else
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => Row<T>} create
 * @returns {(items: readonly T[]) => void}
 */
export function keyedList(parent, keyOf, create) {
  /** @type {Map<string, Row<T>>} */
  const rows = new Map();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      rows.delete(key);
    }
    let place = parent.firstElementChild;
    for (const item of items) {
      const row = rows.get(keyOf(item)) ?? create(item);
      rows.set(keyOf(item), row);
      row.update(item);
      if (row.element === place) place = place.nextElementSibling;
      else parent.insertBefore(row.element, place);
    }
  };
}

/**
 * Somebody presses something in it, which is a click only where the same is still there when it is let go; or has
 * marked text in it, to copy it.
 * @param {Element} element
 */
export function isInHand(element) {
  const selection = getSelection();
  return (
    element.matches(':active') || (selection?.isCollapsed === false && element.contains(selection.anchorNode))
  );
}

/**
 * What is made anew while somebody is in it: what has the same `data-key` gets the focus back.
 * @param {Element} parent
 * @param {...Child} children
 */
export function replace(parent, ...children) {
  const { activeElement } = document;
  const key =
    activeElement instanceof HTMLElement && parent.contains(activeElement)
      ? activeElement.dataset['key']
      : undefined;
  const opened = [...parent.querySelectorAll('details[open][data-key]')].map((details) =>
    details.getAttribute('data-key'),
  );
  parent.replaceChildren(...children.filter((child) => child !== undefined && child !== false));
  for (const details of parent.querySelectorAll('details')) {
    if (opened.includes(details.dataset['key'] ?? '')) details.open = true;
  }
  const successor = key === undefined ? null : parent.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (successor instanceof HTMLElement) successor.focus({ preventScroll: true });
}

/**
 * @param {readonly (string | { readonly name: string, readonly class?: string })[]} columns
 * @param {readonly Element[]} rows
 * @param {string} caption for who does not see what stands around it
 */
export function table(columns, rows, caption) {
  const heads = columns.map((column) => {
    const { name, class: classes } = typeof column === 'string' ? { name: column, class: undefined } : column;
    return el('th', { scope: 'col', class: classes }, name);
  });
  return el(
    'table',
    {},
    el('caption', { class: 'unseen' }, caption),
    el('thead', {}, el('tr', {}, ...heads)),
    el('tbody', {}, ...rows),
  );
}
