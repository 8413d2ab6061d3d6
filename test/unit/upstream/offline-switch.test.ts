import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseReference, parseRepositoryName } from '../../../src/oci/reference.ts';
import { switchable, type OfflineSwitch } from '../../../src/upstream/offline-switch.ts';
import { upstreamOf } from '../../support/blob-mirror.ts';

const NAME = parseRepositoryName('team/app');
const BYTES = Buffer.from('blob');
const DIGEST = digestOf(BYTES);
const signal = new AbortController().signal;

describe('switchable', () => {
  it('asks nobody for anything while it is switched offline, and goes on when that is over', async () => {
    const offline: OfflineSwitch = { isOn: true };
    let asked = 0;
    const answer = () => {
      asked += 1;
      return Promise.resolve(undefined);
    };
    const upstream = switchable(
      upstreamOf(new Map([[DIGEST, BYTES]]), {
        ...{ resolve: answer, fetchManifest: answer, listTags: answer, listReferrers: answer },
      }),
      offline,
    );
    const questions = [
      () => upstream.resolve(NAME, parseReference('v1'), signal),
      () => upstream.fetchManifest(NAME, parseReference('v1'), signal),
      () => upstream.listTags(NAME, signal),
      () => upstream.listReferrers(NAME, DIGEST, signal),
      () => upstream.statBlob(NAME, DIGEST, signal),
      () => upstream.fetchBlob(NAME, DIGEST, 0, signal),
    ];
    for (const ask of questions) await expect(ask()).rejects.toMatchObject({ failure: 'offline' });
    expect(asked).toBe(0);
    offline.isOn = false;
    for (const ask of questions) await ask();
    expect(asked).toBe(4);
  });
});
