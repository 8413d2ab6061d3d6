/**
 * Makes the connections of one upstream, and none to an address that address-policy.ts refuses. A name is looked up
 * once for each connection, and what was checked is what is dialled: a second lookup could say something else.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type OnReadOpts } from 'node:net';
import { buildConnector } from 'undici';
import { isListed, mayLeadTo, networkOf, type Network } from './address-policy.ts';

export interface ConnectorOptions {
  /** Origin and, where the registry is not at its root, the path before `/v2/`. */
  readonly url: URL;
  /** Hosts, besides the upstream's own and those of its domain, that may be its token service. */
  readonly allowedRealms: readonly string[];
  /** Hosts that it may send us to although their addresses are none that it could name. */
  readonly allowedRedirects: readonly string[];
  /** With the TLS handshake. */
  readonly connectTimeoutMs: number;
  /** Default: the system's. */
  readonly lookup?: LookupFunction | undefined;
}

/** A host has no address that we may connect to. */
export class RefusedAddressError extends Error {
  constructor(found: readonly LookupAddress[]) {
    super(
      `its address ${found.map(({ address }) => address).join(', ')} is none that this upstream may send us to; ` +
        `where that is right, allow the host with the upstream's setting "redirects", or "realms" for a token service`,
    );
    this.name = 'RefusedAddressError';
  }
}

/** Of Node's sockets. */
export interface SocketOptions {
  readonly onread?: OnReadOpts;
  readonly highWaterMark?: number;
}

/**
 * Where the upstream's own name ever led, for all of its connectors. All of them must agree to what is further in: who
 * sends us there from outside has had an address outside, and no later answer of his DNS takes that back.
 */
export type OwnNetworks = Set<Network>;

/** What of the addresses found may be dialled. */
type Sift = (found: readonly LookupAddress[]) => readonly LookupAddress[];

/**
 * How a host is treated depends on its origin alone: undici's pools are an origin's each, so none of them holds both
 * checked and unchecked connections.
 */
export function guardedConnector(
  options: ConnectorOptions,
  networks: OwnNetworks,
  sockets: SocketOptions = {},
): buildConnector.connector {
  const through = (sift: Sift) => connectorThrough(options, sift, sockets);
  const own = through((found) => {
    for (const { address } of found) networks.add(networkOf(address));
    return found;
  });
  const listed = through((found) => found);
  const checked = through((found) => found.filter(({ address }) => mayLeadTo(networkOf(address), networks)));
  return (target, callback) => {
    const url = new URL(`${target.protocol}//${target.host ?? target.hostname}`);
    const isConfigured = isListed(url, options.allowedRedirects) || isListed(url, options.allowedRealms);
    const connect = url.origin === options.url.origin ? own : isConfigured ? listed : checked;
    connect(target, callback);
  };
}

function connectorThrough(
  options: ConnectorOptions,
  sift: Sift,
  sockets: SocketOptions,
): buildConnector.connector {
  const connect = buildConnector({
    ...sockets,
    timeout: options.connectTimeoutMs,
    allowH2: false,
    lookup: lookupThrough(options.lookup ?? systemLookup, sift),
  });
  return (target, callback) => {
    // Of an address in the URL there is no lookup. undici takes what is thrown here for the connection's error.
    const literal = { address: target.hostname, family: isIP(target.hostname) };
    if (literal.family !== 0 && sift([literal]).length === 0) throw new RefusedAddressError([literal]);
    connect(target, callback);
  };
}

function lookupThrough(lookup: LookupFunction, sift: Sift): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const allowed = error === null ? sift(found as LookupAddress[]) : [];
      const [first] = allowed;
      if (first === undefined) callback(error ?? new RefusedAddressError(found as LookupAddress[]), []);
      else if (options.all === true) callback(null, [...allowed]);
      else callback(null, first.address, first.family);
    });
  };
}
