/** The mirror's event stream, read by fetch, for an EventSource can send no token; opened again when it breaks. */
/** @import { Api } from './api.js' */
/** @import { Events } from '../admin/views.ts' */

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** The mirror sends something every 15 s. */
const SILENCE_MS = 45_000;

/** @typedef {{ [Name in keyof Events]: (data: Events[Name]) => void }} Handlers */

/**
 * @typedef {object} Loss why the mirror is not reached, and when it is tried again
 * @property {unknown} cause
 * @property {number} retryInMs
 * @property {() => void} retryNow
 */

/**
 * Never ends.
 * @param {Api} api
 * @param {Handlers} handlers
 * @param {(loss: Loss | undefined) => void} onConnection without a loss when it is there again
 */
export function follow(api, handlers, onConnection) {
  return retry(async (onReached) => {
    await read(api, handlers, onReached);
    // It has no end of its own.
    throw new Error('the event stream ended');
  }, onConnection);
}

/**
 * Until it succeeds, with pauses that grow as long as nothing is reached.
 * @param {(onReached: () => void) => Promise<void>} work
 * @param {(loss: Loss | undefined) => void} onConnection
 */
export async function retry(work, onConnection) {
  let pauseMs = FIRST_PAUSE_MS;
  const onReached = () => {
    pauseMs = FIRST_PAUSE_MS;
    onConnection(undefined);
  };
  for (;;) {
    try {
      await work(onReached);
      return;
    } catch (cause) {
      await pause(pauseMs, (retryNow) => onConnection({ cause, retryInMs: pauseMs, retryNow }));
    }
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/**
 * @param {Api} api
 * @param {Handlers} handlers
 * @param {() => void} onOpen
 */
async function read(api, handlers, onOpen) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const answer = await api.open('GET', 'events', undefined, silence.signal);
    if (!answer.body) throw new Error('the event stream has no body');
    onOpen();
    let text = '';
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const blocks = (text + value.replaceAll('\r', '')).split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) dispatch(block, handlers);
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {string} block
 * @param {Handlers} handlers
 */
function dispatch(block, handlers) {
  let name = '';
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    if (line.startsWith('data:')) data += line.slice(5);
  }
  if (!Object.hasOwn(handlers, name)) return;
  const handle = /** @type {(data: unknown) => void} */ (handlers[/** @type {keyof Events} */ (name)]);
  handle(JSON.parse(data));
}

/**
 * Ends sooner when somebody looks at the page again, or wants it to.
 * @param {number} ms
 * @param {(end: () => void) => void} onBegin
 */
async function pause(ms, onBegin) {
  await new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', over);
      resolve(undefined);
    };
    const timer = setTimeout(over, ms);
    document.addEventListener('visibilitychange', over);
    onBegin(over);
  });
}
