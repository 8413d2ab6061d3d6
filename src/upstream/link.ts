/** The Link header of a listing (RFC 8288; distribution-spec v1.1.1, "Listing Tags"). */

/** The link to the next page; undefined on the last one. */
export function nextLinkIn(header: string | undefined): string | undefined {
  for (const [, target, parameters = ''] of (header ?? '').matchAll(/<([^<>]*)>([^<>,]*)/g)) {
    const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s";]+))/i.exec(parameters);
    // Some registries leave the relation out; dockerd, too, takes any link for the next one.
    if (relation === null) return target;
    const names = (relation[1] ?? relation[2] ?? '').toLowerCase().split(/\s+/);
    if (names.includes('next')) return target;
  }
  return undefined;
}
