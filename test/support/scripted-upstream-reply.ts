/** An answer of the scripted upstream, before anything is done to it on its way out. */

export interface Reply {
  readonly status: number;
  /** Undefined takes a header away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array;
  /** Whether a Range picks from the body. */
  readonly isRangeable?: boolean;
}

export function jsonReply(status: number, value: unknown, headers: Reply['headers'] = {}): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: Buffer.from(`${JSON.stringify(value)}\n`),
  };
}

/** The JSON that every registry's error is (distribution-spec v1.1.1, "Error Codes"). */
export function errorReply(status: number, code: string, message = code, headers?: Reply['headers']): Reply {
  return jsonReply(status, { errors: [{ code, message, detail: null }] }, headers);
}

export function redirectTo(location: string, status = 307): Reply {
  return { status, headers: { location } };
}

/** What captive portals and login pages answer to anything. */
export function htmlPage(): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'text/html; charset=utf-8' },
    body: Buffer.from('<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>\n'),
  };
}
