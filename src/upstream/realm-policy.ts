/**
 * Which token services a registry may send us to. Its challenge is text from outside, and our credentials go to the
 * realm that it names (CVE-2026-33540 and its like).
 */
import { isIP } from 'node:net';
import { getDomain } from 'tldts';
import { isListed, networkOf } from './address-policy.ts';

/**
 * @param registry whose challenge named the realm
 * @param allowedRealms further hosts, with a port where it is not the scheme's own
 */
export function isRealmAllowed(realm: URL, registry: URL, allowedRealms: readonly string[]): boolean {
  const isSchemeAllowed =
    realm.protocol === 'https:' || (realm.protocol === 'http:' && registry.protocol === 'http:');
  if (!isSchemeAllowed) return false;
  if (realm.host === registry.host || isListed(realm, allowedRealms)) return true;
  if (registry.protocol === 'http:' && realm.hostname === registry.hostname && isPrivate(realm.hostname)) {
    return true;
  }
  // With the private part of the public suffix list: two customers of one cloud are not one domain.
  const domain = getDomain(realm.hostname, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(registry.hostname, { allowPrivateDomains: true });
}

/** An address of a private network, or a name that only such a one can know. */
function isPrivate(hostname: string): boolean {
  const address = hostname.replaceAll(/[[\]]/g, '');
  if (isIP(address) === 0) return !hostname.includes('.');
  return ['loopback', 'private'].includes(networkOf(address));
}
