/** The last lines of the log at `warn` or above, for whoever wants to know what is wrong without reading all of it. */

/** What a line says, as far as a person needs it. */
export interface Trouble {
  /** ISO 8601. */
  readonly at: string;
  readonly level: 'warn' | 'error' | 'fatal';
  readonly message: string;
  readonly reason?: string;
  readonly requestId?: string;
}

interface Line {
  readonly level: Trouble['level'];
  readonly time: string;
  readonly msg?: string;
  readonly err?: LoggedError;
  readonly reason?: unknown;
  readonly requestId?: string;
}

interface LoggedError {
  readonly message?: string;
  readonly cause?: LoggedError | string;
}

const MAX_TROUBLES = 100;
/** The level comes first in every line: all others cost a look at their beginning. */
const BEGINNING = /^\{"level":"(?:warn|error|fatal)"/;
const IN_LINES = /^\{"level":"(?:warn|error|fatal)".*$/gm;

export class Troubles {
  readonly #last: Trouble[] = [];

  /** The last one first. */
  list(): readonly Trouble[] {
    return this.#last.toReversed();
  }

  /** @param line as it is written, with nothing left in it that is secret */
  readonly note = (line: string): void => {
    if (!BEGINNING.test(line)) return;
    const parsed = parse(line);
    if (!parsed) return;
    this.#last.push(troubleOf(parsed));
    if (this.#last.length > MAX_TROUBLES) this.#last.shift();
  };

  /** Several at once. */
  noteAll(lines: string): void {
    for (const line of lines.match(IN_LINES) ?? []) this.note(line);
  }
}

/** `undefined` for one that was cut short, as by the end of a worker. */
function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return undefined;
  }
}

function troubleOf({ level, time: at, msg: message = '', err, reason: said, requestId }: Line): Trouble {
  const reason = err ? messagesOf(err).join(': ') : typeof said === 'string' ? said : '';
  return {
    ...{ at, level, message },
    ...(reason === '' ? {} : { reason }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** Of an error and its causes; a cause that the error has told of already says nothing new. */
function messagesOf(error: LoggedError | string): readonly string[] {
  if (typeof error === 'string') return [error];
  const { message = '', cause } = error;
  const causes = cause === undefined ? [] : messagesOf(cause);
  return [message, ...causes.filter((text) => !message.includes(text))].filter((text) => text !== '');
}
