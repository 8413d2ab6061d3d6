import { describe, expect, it } from 'vitest';
import { isRealmAllowed } from '../../../src/upstream/realm-policy.ts';

const isAllowed = (realm: string, registry: string, ...allowedRealms: string[]) =>
  isRealmAllowed(new URL(realm), new URL(registry), allowedRealms);

describe('isRealmAllowed', () => {
  it.each([
    ['its own host', 'https://ghcr.io/token', 'https://ghcr.io'],
    ['its own host and port', 'https://127.0.0.1:8443/token', 'https://127.0.0.1:8443'],
    ['a host of its domain', 'https://auth.docker.io/token', 'https://registry-1.docker.io'],
    ['the domain itself', 'https://gitlab.com/jwt/auth', 'https://registry.gitlab.com'],
    ['a host of its domain below a public suffix', 'https://auth.a.co.uk/', 'https://registry.a.co.uk'],
    ['https for a registry without', 'https://auth.example.com/', 'http://registry.example.com:5000'],
    ['another port of a loopback address, both without TLS', 'http://127.0.0.1:2/', 'http://127.0.0.1:1'],
    ['another port of ::1', 'http://[::1]:2/', 'http://[::1]:1'],
    ['another port of a private address', 'http://192.168.1.5:5001/', 'http://192.168.1.5:5000'],
    ['another port of an address of a carrier', 'http://100.64.0.1:2/', 'http://100.64.0.1:1'],
    ['another port of localhost', 'http://localhost:5001/', 'http://localhost:5000'],
    ['another port of a name without dots', 'http://registry:5001/', 'http://registry:5000'],
  ])('allows %s', (_, realm, registry) => {
    expect(isAllowed(realm, registry)).toBe(true);
  });

  it.each([
    ['another domain', 'https://evil.example/token', 'https://registry-1.docker.io'],
    ['a domain that ends alike', 'https://notdocker.io/token', 'https://registry-1.docker.io'],
    ['its name below another domain', 'https://docker.io.evil.example/', 'https://registry-1.docker.io'],
    ['a neighbour below a public suffix', 'https://b.co.uk/', 'https://a.co.uk'],
    ['another customer of the same cloud', 'https://b.github.io/', 'https://a.github.io'],
    ['a realm without TLS', 'http://ghcr.io/token', 'https://ghcr.io'],
    ['a realm that is no web address', 'ftp://ghcr.io/token', 'https://ghcr.io'],
    ['an address', 'https://169.254.169.254/', 'https://registry.example.com'],
    ['localhost', 'https://localhost/', 'https://registry.example.com'],
    ['localhost with a dot', 'https://localhost./', 'https://registry.example.com'],
    ['localhost, written as a number', 'https://2130706433/', 'https://registry.example.com'],
    ['an IPv6 address', 'https://[::ffff:169.254.169.254]/', 'https://registry.example.com'],
    ['a private address for a registry at another', 'http://192.168.1.6/', 'http://192.168.1.5'],
    ['another port of a link-local address', 'http://169.254.1.1:2/', 'http://169.254.1.1:1'],
    ['another address', 'http://127.0.0.2:1/', 'http://127.0.0.1:1'],
    ['another name for the same address', 'http://localhost:1/', 'http://127.0.0.1:1'],
    ['another port of an address, with TLS', 'https://127.0.0.1:2/', 'https://127.0.0.1:1'],
    ['another port of a public address', 'http://192.0.2.1:2/', 'http://192.0.2.1:1'],
  ])('refuses %s', (_, realm, registry) => {
    expect(isAllowed(realm, registry)).toBe(false);
  });

  it('allows what is listed, with its port, and never without TLS', () => {
    expect(isAllowed('https://auth.other.example/', 'https://r.example.com', 'auth.other.example')).toBe(
      true,
    );
    expect(isAllowed('https://auth.other.example:8443/', 'https://r.example.com', 'auth.other.example')).toBe(
      false,
    );
    expect(
      isAllowed('https://auth.other.example:8443/', 'https://r.example.com', 'auth.other.example:8443'),
    ).toBe(true);
    expect(isAllowed('https://auth.other.example/', 'https://r.example.com', 'auth.other.example:443')).toBe(
      true,
    );
    expect(isAllowed('http://auth.other.example/', 'https://r.example.com', 'auth.other.example')).toBe(
      false,
    );
  });
});
