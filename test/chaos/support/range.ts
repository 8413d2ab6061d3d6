/** Byte ranges (RFC 9110, section 14), once more: what judges the mirror does not reckon with the mirror's own code. */

export interface Part {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** What a Range header picks of that many bytes; all of them where it is none, or of another kind. */
export function partOf(size: number, header = ''): Part | 'all' | 'none' {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (first === '' && last === '') return 'all';
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : 'none';
}

export function contentRangeOf({ start, end }: Part, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}
