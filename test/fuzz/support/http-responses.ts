/** Reads what a server sent on one connection as strictly as HTTP/1.1 is written: anything else is an error. */

export interface WireResponse {
  readonly status: number;
  /** By lower-case name; none comes twice. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Whether the connection ended before the body did. */
  readonly isCutShort: boolean;
}

/** @throws Error for what is no sequence of responses; only the last may be cut short, in its headers too */
export function readResponses(received: Buffer): readonly WireResponse[] {
  const responses: WireResponse[] = [];
  for (let rest = received; rest.length > 0;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) {
      if (!rest.toString('latin1').startsWith('HTTP/1.1 '.slice(0, rest.length))) throw notHttp(rest);
      return responses;
    }
    const { status, headers } = readHead(rest.subarray(0, end).toString('latin1'));
    const { body, length, isCutShort } = readBody(status, headers, rest.subarray(end + 4));
    responses.push({ status, headers, body, isCutShort });
    rest = rest.subarray(end + 4 + length);
  }
  return responses;
}

function readHead(text: string): Pick<WireResponse, 'status' | 'headers'> {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]+$/.exec(statusLine)?.[1];
  if (status === undefined) throw notHttp(Buffer.from(text));
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+): ([\x20-\x7e]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`this is no header: ${JSON.stringify(line)}`);
    if (headers.has(name.toLowerCase())) throw new Error(`this header comes twice: ${name}`);
    headers.set(name.toLowerCase(), value);
  }
  return { status: Number(status), headers };
}

function readBody(
  status: number,
  headers: WireResponse['headers'],
  rest: Buffer,
): Pick<WireResponse, 'body' | 'isCutShort'> & { readonly length: number } {
  const none = { body: Buffer.alloc(0), length: 0, isCutShort: false };
  if (status === 304 || status === 204) return none;
  if (headers.has('transfer-encoding')) throw new Error('all that is served here has a known length');
  const claimed = headers.get('content-length') ?? '0';
  if (!/^\d{1,15}$/.test(claimed)) throw new Error(`this is no length: ${claimed}`);
  // To a HEAD there is no body. No body starts as a response does, so whatever was asked, the bytes tell.
  if (rest.length === 0 || rest.subarray(0, 9).toString('latin1') === 'HTTP/1.1 ') return none;
  const body = rest.subarray(0, Number(claimed));
  return { body, length: body.length, isCutShort: body.length < Number(claimed) };
}

function notHttp(bytes: Buffer): Error {
  return new Error(`this is no HTTP: ${JSON.stringify(bytes.subarray(0, 200).toString('latin1'))}`);
}
