import { describe, expect, it } from 'vitest';
import { isListed, mayLeadTo, networkOf, type Network } from '../../../src/upstream/address-policy.ts';

describe('networkOf', () => {
  it.each([
    ['8.8.8.8', 'public'],
    ['9.255.255.255', 'public'],
    ['11.0.0.0', 'public'],
    ['100.63.255.255', 'public'],
    ['100.128.0.0', 'public'],
    ['126.255.255.255', 'public'],
    ['172.15.255.255', 'public'],
    ['172.32.0.0', 'public'],
    ['192.167.255.255', 'public'],
    ['192.0.1.0', 'public'],
    ['198.17.255.255', 'public'],
    ['198.20.0.0', 'public'],
    ['223.255.255.255', 'public'],
    ['2000::', 'public'],
    ['2001:200::1', 'public'],
    ['2606:4700::6810:84e5', 'public'],
    ['3fff:1000::1', 'public'],

    ['127.0.0.1', 'loopback'],
    ['127.255.255.255', 'loopback'],
    ['0.0.0.0', 'loopback'],
    ['::1', 'loopback'],
    ['::', 'loopback'],

    ['10.0.0.1', 'private'],
    ['10.255.255.255', 'private'],
    ['172.16.0.0', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.0.1', 'private'],
    ['100.64.0.0', 'private'],
    ['100.127.255.255', 'private'],
    ['fc00::1', 'private'],
    ['fdff:ffff::1', 'private'],
    ['fec0::1', 'private'],

    ['169.254.0.1', 'link-local'],
    ['169.254.255.255', 'link-local'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],

    ['192.0.0.1', 'reserved'],
    ['192.0.2.1', 'reserved'],
    ['192.88.99.1', 'reserved'],
    ['198.18.0.1', 'reserved'],
    ['198.19.255.255', 'reserved'],
    ['198.51.100.1', 'reserved'],
    ['203.0.113.1', 'reserved'],
    ['224.0.0.1', 'reserved'],
    ['239.255.255.255', 'reserved'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['100::1', 'reserved'],
    ['64:ff9b:1::a00:1', 'reserved'],
    ['2001:2::1', 'reserved'],
    ['2001:10::1', 'reserved'],
    ['2001:db8::1', 'reserved'],
    ['3fff::1', 'reserved'],
    ['4000::1', 'reserved'],
    ['5f00::1', 'reserved'],
    ['ff02::1', 'reserved'],

    ['169.254.169.254', 'metadata 169.254.169.254'],
    ['169.254.170.2', 'metadata 169.254.170.2'],
    ['100.100.100.200', 'metadata 100.100.100.200'],
    ['168.63.129.16', 'metadata 168.63.129.16'],
    ['192.0.0.192', 'metadata 192.0.0.192'],
    ['fd00:ec2::254', 'metadata fd00:ec2::254'],
    ['fd00:0ec2:0:0:0:0:0:254', 'metadata fd00:ec2::254'],
    ['FD00:EC2::254%eth0', 'metadata fd00:ec2::254'],
  ])('of %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it.each([
    ['mapped', '::ffff:127.0.0.1', 'loopback'],
    ['mapped, in hexadecimal', '::ffff:a9fe:a9fe', 'metadata 169.254.169.254'],
    ['mapped', '::ffff:8.8.8.8', 'public'],
    ['translated', '::ffff:0:10.0.0.1', 'private'],
    ['compatible', '::10.0.0.1', 'private'],
    ['compatible', '::7f00:1', 'loopback'],
    ['NAT64', '64:ff9b::192.168.1.1', 'private'],
    ['NAT64', '64:ff9b::a9fe:a9fe', 'metadata 169.254.169.254'],
    ['NAT64', '64:ff9b::808:808', 'public'],
    ['6to4', '2002:7f00:1::1', 'loopback'],
    ['6to4', '2002:a9fe:a9fe::', 'metadata 169.254.169.254'],
    ['6to4', '2002:808:808::1', 'public'],
    // The client's address, 192.168.0.1, inverted.
    ['Teredo', '2001:0:808:808:8000:63bf:3f57:fffe', 'private'],
    ['Teredo', '2001:0:a00:1:8000:63bf:f7f7:f7f7', 'public'],
  ])('of an IPv4 address in IPv6 (%s) is its own: %s', (_, address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('networkOf what is no address', () => {
  it.each(['', 'example.com', '127.1', '1.2.3.4.5', ':::', '::1]/x[', '::ffff:999.1.1.1'])(
    'is none that may be dialled: %j',
    (text) => {
      expect(networkOf(text)).toBe('reserved');
    },
  );
});

describe('mayLeadTo', () => {
  const from = (...upstream: Network[]) => {
    const networks: Network[] = [
      'public',
      'loopback',
      'private',
      'link-local',
      'reserved',
      'metadata 169.254.169.254',
      'metadata fd00:ec2::254',
    ];
    return networks.filter((target) => mayLeadTo(target, new Set(upstream)));
  };

  it.each([
    ['public', ['public']],
    ['loopback', ['public', 'loopback', 'private']],
    ['private', ['public', 'private']],
    ['link-local', ['public', 'link-local']],
    ['reserved', ['public', 'reserved']],
    ['metadata fd00:ec2::254', ['public', 'metadata fd00:ec2::254']],
  ] as const)('lets an upstream that is %s lead to %j', (upstream, targets) => {
    expect(from(upstream)).toEqual(targets);
  });

  it('needs all of its networks to allow it, and one at least', () => {
    expect(from('loopback', 'private')).toEqual(['public', 'private']);
    expect(from('loopback', 'public')).toEqual(['public']);
    expect(from()).toEqual(['public']);
  });
});

describe('isListed', () => {
  it.each([
    ['https://cdn.example.com/x', 'cdn.example.com', true],
    ['https://cdn.example.com/x', 'cdn.example.com:443', true],
    ['http://cdn.example.com/x', 'cdn.example.com:80', true],
    ['https://cdn.example.com:9000/x', 'cdn.example.com:9000', true],
    ['https://[fd12::1]/x', '[fd12::1]', true],
    ['https://[fd12::1]/x', '[fd12::1]:443', true],
    ['https://cdn.example.com:9000/x', 'cdn.example.com', false],
    ['https://cdn.example.com/x', 'cdn.example.com:80', false],
    ['https://cdn.example.com/x', 'example.com', false],
    ['https://cdn.example.com.evil.example/x', 'cdn.example.com', false],
  ])('%s by %s: %s', (url, host, expected) => {
    expect(isListed(new URL(url), ['other.example.com', host])).toBe(expected);
  });
});
