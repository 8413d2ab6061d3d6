/** The address by which other machines reach what listens here. */
import { existsSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';

/** An address that other machines can use, where it listens on all of them. */
export function reachableUrl(listening: string): string {
  const { protocol, hostname: host, port, origin } = new URL(listening);
  if (host !== '0.0.0.0' && host !== '[::]') return origin;
  return `${protocol}//${ownAddress()}${port === '' ? '' : `:${port}`}`;
}

/** A container's own address may be none that other machines can reach. */
export function isInContainer(): boolean {
  return ['/.dockerenv', '/run/.containerenv'].some((path) => existsSync(path));
}

function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? hostname();
}
