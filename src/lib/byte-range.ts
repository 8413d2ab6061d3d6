/** Byte ranges of RFC 9110, section 14: what a client asks for, and what a server says it sends. */

/** `end` is exclusive: a range has `end - start` bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * What the Range header means for a body of `size` bytes. `undefined` is "send all of it": no header, another unit,
 * several ranges, or one that does not parse, each of which RFC 9110 lets a server ignore.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = header === undefined ? null : /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header);
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') {
    if (last === '') return undefined;
    const length = Number(last);
    return length === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size };
  }
  const start = Number(first);
  // A backward range is a 416 to the OCI conformance suite and to Go's http.ServeContent.
  if (start >= size || (last !== '' && Number(last) < start)) return 'unsatisfiable';
  return { start, end: last === '' ? size : Math.min(size, Number(last) + 1) };
}

/** For a 206. Clients want the size in digits, never `*` (dockerd's resume). */
export function formatContentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`;
}

export interface ContentRange extends ByteRange {
  /** Undefined for `*`. */
  readonly size: number | undefined;
}

/** `undefined` for what is no Content-Range of a 206. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = header === undefined ? null : /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(header.trim());
  if (!match) return undefined;
  const [start, last] = [Number(match[1]), Number(match[2])];
  const size = match[3] === '*' ? undefined : Number(match[3]);
  if (last < start || (size !== undefined && size <= last)) return undefined;
  // A number that is not exact is none to count bytes by.
  return Number.isSafeInteger(size ?? last) ? { start, end: last + 1, size } : undefined;
}
