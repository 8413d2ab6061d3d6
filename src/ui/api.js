/** The admin API as this page calls it: the token goes along, and is asked for when it is wanted. */
/** @import { AccessView, ErrorView } from '../admin/views.ts' */

const TOKEN = 'entrepot-token';
const BASE = 'api/v1/';

/** An answer that says no, in the words of the mirror. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

export class Api {
  /** @type {(isWrong: boolean) => Promise<string | undefined>} */
  #askToken;
  /** @type {Promise<boolean> | undefined} */
  #asking;
  /** What goes on by itself must not ask again and again. */
  #isPutOff = false;
  /** @type {AccessView} */
  access = { reads: 'open', changes: 'open' };

  /** @param {(isWrong: boolean) => Promise<string | undefined>} askToken resolves to what was entered; to nothing when it was put off */
  constructor(askToken) {
    this.#askToken = askToken;
  }

  async readAccess() {
    this.access = /** @type {AccessView} */ (await this.get('access'));
  }

  /**
   * @param {string} path
   * @param {Readonly<Record<string, string | number | undefined>>} [query]
   * @returns {Promise<unknown>}
   */
  async get(path, query = {}) {
    const answer = await this.open('GET', path + textOf(query));
    /** @type {unknown} */
    const data = await answer.json();
    return data;
  }

  /**
   * @param {'POST' | 'PUT' | 'DELETE'} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<unknown>}
   */
  async send(method, path, body) {
    const answer = await this.open(method, path, body);
    const text = await answer.text();
    /** @type {unknown} */
    const data = text === '' ? undefined : JSON.parse(text);
    return data;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {AbortSignal} [signal]
   */
  async open(method, path, body, signal) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN);
      const answer = await fetch(BASE + path, {
        method,
        cache: 'no-store',
        credentials: 'omit',
        headers: {
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      });
      if (answer.ok) return answer;
      const error = new ApiError(answer.status, await reasonOf(answer));
      if (answer.status !== 401 || (method === 'GET' && this.#isPutOff)) throw error;
      if (!(await this.#enterToken(token))) throw error;
    }
  }

  /**
   * Once for all requests that were refused with the same token.
   * @param {string | null} refused
   */
  #enterToken(refused) {
    if (sessionStorage.getItem(TOKEN) !== refused) return true;
    this.#asking ??= this.#askToken(refused !== null)
      .then((entered) => {
        this.#isPutOff = entered === undefined;
        if (entered === undefined) return false;
        sessionStorage.setItem(TOKEN, entered);
        return true;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }
}

/** @param {Readonly<Record<string, string | number | undefined>>} query */
export function textOf(query) {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** @param {Response} answer */
async function reasonOf(answer) {
  const text = await answer.text();
  try {
    /** @type {unknown} */
    const data = JSON.parse(text);
    return /** @type {ErrorView} */ (data).error;
  } catch {
    // What stands in between, a proxy for one, answers in pages of its own.
    return `the mirror's answer was ${answer.status}`;
  }
}
