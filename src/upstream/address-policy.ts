/**
 * Which addresses an upstream may have us connect to, by a redirect or a token realm. What reaches into the network
 * that we stand in is not for strangers to name (SSRF); where a name leads is looked up by guarded-connector.ts.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** A metadata address is a network of its own: `metadata 169.254.169.254`. */
export type Network = 'public' | 'loopback' | 'private' | 'link-local' | 'reserved' | `metadata ${string}`;

/** Where clouds hand out credentials and settings to whoever asks (AWS, GCP, Azure, Alibaba, Oracle). */
const METADATA: ReadonlySet<string> = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
]);

/** IANA's special-purpose addresses, and multicast; all else of IPv4 is public. */
const IPV4: readonly (readonly [Network, BlockList])[] = [
  // Linux connects to 0.0.0.0 as to itself.
  ['loopback', subnets('ipv4', '127.0.0.0/8', '0.0.0.0/8')],
  ['private', subnets('ipv4', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10')],
  ['link-local', subnets('ipv4', '169.254.0.0/16')],
  ['reserved', subnets('ipv4', '192.0.0.0/24', '192.88.99.0/24', '198.18.0.0/15')],
  ['reserved', subnets('ipv4', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24')],
  ['reserved', subnets('ipv4', '224.0.0.0/4', '240.0.0.0/4')],
];

/** The first that fits; all else of IPv6 is reserved. */
const IPV6: readonly (readonly [Network, BlockList])[] = [
  ['private', subnets('ipv6', 'fc00::/7', 'fec0::/10')],
  ['link-local', subnets('ipv6', 'fe80::/10')],
  ['reserved', subnets('ipv6', '2001::/23', '2001:db8::/32', '3fff::/20')],
  ['public', subnets('ipv6', '2000::/3')],
];

/** Ways to write, or to reach, an IPv4 address in IPv6, and where its bytes are. */
const EMBEDDINGS: readonly (readonly [BlockList, (bytes: readonly number[]) => readonly number[]])[] = [
  // Compatible (which makes :: and ::1 of 0.0.0.0/8), mapped, translated, NAT64.
  [subnets('ipv6', '::/96', '::ffff:0:0/96', '::ffff:0:0:0/96', '64:ff9b::/96'), (bytes) => bytes.slice(12)],
  // 6to4.
  [subnets('ipv6', '2002::/16'), (bytes) => bytes.slice(2, 6)],
  // Teredo, that of the client, inverted (RFC 4380, section 4).
  [subnets('ipv6', '2001::/32'), (bytes) => bytes.slice(12).map((byte) => 255 - byte)],
];

/** @param address as a lookup gives it, or as a URL has it between its brackets */
export function networkOf(address: string): Network {
  if (isIPv4(address)) return networkIn(IPV4, address, 'ipv4') ?? 'public';
  if (!isIPv6(address)) return 'reserved';
  const canonical = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname.slice(1, -1);
  const [, bytesIn] = EMBEDDINGS.find(([range]) => range.check(canonical, 'ipv6')) ?? [];
  if (bytesIn !== undefined) return networkOf(bytesIn(bytesOf(canonical)).join('.'));
  return networkIn(IPV6, canonical, 'ipv6') ?? 'reserved';
}

/**
 * Whether an upstream may lead us there: to its own network, and never further in than it is itself.
 * @param upstream the networks that its addresses are in, of which each has to allow it
 */
export function mayLeadTo(target: Network, upstream: ReadonlySet<Network>): boolean {
  if (target === 'public') return true;
  const isNear = (own: Network) => own === target || (own === 'loopback' && target === 'private');
  return upstream.size > 0 && [...upstream].every(isNear);
}

/** @param hosts with a port, where it is not the scheme's own */
export function isListed({ protocol, host, hostname, port }: URL, hosts: readonly string[]): boolean {
  const fullHost = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`;
  return hosts.includes(host) || hosts.includes(fullHost);
}

function networkIn(networks: typeof IPV4, address: string, version: 'ipv4' | 'ipv6'): Network | undefined {
  if (METADATA.has(address)) return `metadata ${address}`;
  return networks.find(([, range]) => range.check(address, version))?.[0];
}

/** @param address as URL writes it: groups in hexadecimal, of which one run of zeros is left out */
function bytesOf(address: string): readonly number[] {
  const [left = [], right = []] = address
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].flatMap((group) => {
    const word = parseInt(group, 16);
    return [word >> 8, word & 255];
  });
}

function subnets(version: 'ipv4' | 'ipv6', ...cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix] = cidr.split('/');
    list.addSubnet(network, Number(prefix), version);
  }
  return list;
}
