import { describe, expect, it } from 'vitest';
import { ClientsSeen } from '../../../src/telemetry/clients-seen.ts';

describe('ClientsSeen', () => {
  it('counts by address and User-Agent, the one that asked last first', () => {
    let now = 1000;
    const seen = new ClientsSeen(() => (now += 1));
    seen.note('10.0.0.1', 'docker/27');
    seen.note('10.0.0.2', 'docker/27');
    seen.note('10.0.0.1', 'curl/8');
    seen.note('10.0.0.1', 'docker/27');
    expect(seen.list()).toEqual([
      { address: '10.0.0.1', userAgent: 'docker/27', requests: 2, lastSeenAt: 1004 },
      { address: '10.0.0.1', userAgent: 'curl/8', requests: 1, lastSeenAt: 1003 },
      { address: '10.0.0.2', userAgent: 'docker/27', requests: 1, lastSeenAt: 1002 },
    ]);
  });

  it('knows those too that say nothing of themselves', () => {
    const seen = new ClientsSeen(() => 1);
    seen.note(undefined, undefined);
    expect(seen.list()).toEqual([{ address: '', userAgent: '', requests: 1, lastSeenAt: 1 }]);
  });

  it('keeps 200 characters of a User-Agent, and counts what begins the same as one', () => {
    const seen = new ClientsSeen(() => 1);
    seen.note('10.0.0.1', `${'a'.repeat(300)}1`);
    seen.note('10.0.0.1', `${'a'.repeat(300)}2`);
    expect(seen.list()).toMatchObject([{ userAgent: 'a'.repeat(200), requests: 2 }]);
  });

  it('keeps 500 of them: who has not asked for the longest time goes first', () => {
    const seen = new ClientsSeen(() => 1);
    for (let n = 0; n < 500; n += 1) seen.note(`10.0.0.${n}`, 'docker');
    seen.note('10.0.0.0', 'docker');
    seen.note('10.0.0.500', 'docker');
    const addresses = seen.list().map(({ address }) => address);
    expect(addresses).toHaveLength(500);
    expect(addresses.slice(0, 2)).toEqual(['10.0.0.500', '10.0.0.0']);
    expect(addresses).not.toContain('10.0.0.1');
  });
});
