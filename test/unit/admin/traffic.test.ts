import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Traffic } from '../../../src/admin/traffic.ts';
import type { TrafficCounts, TrafficHistory } from '../../../src/metadata/catalog-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const START = Date.parse('2030-05-01T10:00:30.000Z');
const MINUTE_OF_START = START - 30_000;
const NOTHING = { requests: 0, hits: 0, servedBytes: 0, hitBytes: 0, fetchedBytes: 0 };

let history: TrafficHistory;
let now: number;
let counted: TrafficCounts;
let errors: Error[];
let traffic: Traffic;

function count(requests: number, hits = 0): void {
  const [servedBytes, hitBytes] = [requests * 100, hits * 100];
  counted = {
    requests: counted.requests + requests,
    hits: counted.hits + hits,
    servedBytes: counted.servedBytes + servedBytes,
    hitBytes: counted.hitBytes + hitBytes,
    fetchedBytes: counted.fetchedBytes + servedBytes - hitBytes,
  };
}

/** As after a start. */
function begin(of = history): Traffic {
  counted = NOTHING;
  return new Traffic({
    ...{ count: () => Promise.resolve(counted), history: of },
    ...{ now: () => now, startedAt: now, onError: (error) => errors.push(error) },
  });
}

beforeEach(async () => {
  const directory = await tempDir();
  const opened = openSqliteMetadataStore({ path: join(directory.path, 'index.sqlite') });
  ({ history } = opened);
  now = START;
  errors = [];
  traffic = begin();
  return async () => {
    await opened.store.close();
    await directory[Symbol.asyncDispose]();
  };
});

const requestsOf = async (from: number, stepSeconds: number) =>
  (await traffic.history(from, stepSeconds)).spans.map(({ beganAt, requests }) => [beganAt, requests]);

describe('Traffic', () => {
  it('adds what has come since the last sample to the minute in which it is taken', async () => {
    count(3, 1);
    await traffic.run();
    count(2, 2);
    now += 15_000;
    await traffic.run();
    now += MINUTE;
    count(4);
    await traffic.run();
    const first = { requests: 5, hits: 3, servedBytes: 500, hitBytes: 300, fetchedBytes: 200 };
    const second = { requests: 4, hits: 0, servedBytes: 400, hitBytes: 0, fetchedBytes: 400 };
    expect(await history.list(0)).toEqual([
      { beganAt: MINUTE_OF_START, ...first },
      { beganAt: MINUTE_OF_START + MINUTE, ...second },
    ]);
  });

  it('writes nothing where nothing was asked', async () => {
    await traffic.run();
    count(1);
    await traffic.run();
    now += MINUTE;
    await traffic.run();
    expect(await history.list(0)).toHaveLength(1);
  });

  it('knows what is not sampled yet too, and counts nothing twice while a sample is taken', async () => {
    count(3);
    await traffic.run();
    count(2);
    const [, during, steps] = await Promise.all([traffic.run(), traffic.recorded(), requestsOf(START, 60)]);
    expect(during.requests).toBe(5);
    expect(steps).toEqual([[MINUTE_OF_START, 5]]);
    count(1);
    expect((await traffic.recorded()).requests).toBe(6);
    expect(await requestsOf(START, 60)).toEqual([[MINUTE_OF_START, 6]]);
  });

  it('goes on after a restart: what is recorded is of all time, and the counters are since the start', async () => {
    count(3, 1);
    await traffic.run();
    now += DAY;
    traffic = begin();
    count(1, 1);
    expect(await traffic.sinceStart()).toMatchObject({ beganAt: START + DAY, requests: 1, hits: 1 });
    expect(await traffic.recorded()).toMatchObject({ beganAt: MINUTE_OF_START, requests: 4, hits: 2 });
  });

  it('takes a worker that is missing for a moment for neither fewer requests nor new ones', async () => {
    count(5);
    await traffic.run();
    const all = counted;
    counted = NOTHING;
    await traffic.run();
    expect((await traffic.recorded()).requests).toBe(5);
    counted = all;
    await traffic.run();
    expect((await traffic.recorded()).requests).toBe(5);
    count(1);
    await traffic.run();
    expect((await history.totals())?.requests).toBe(6);
  });

  it('merges minutes into steps, from the one on in which the time lies', async () => {
    for (let minute = 0; minute < 6; minute += 1) {
      count(minute + 1);
      await traffic.run();
      now += MINUTE;
    }
    // The minutes of 10:00 to 10:05 have 1 to 6 requests.
    expect(await requestsOf(START, 121)).toEqual([
      [MINUTE_OF_START, 6],
      [MINUTE_OF_START + 3 * MINUTE, 15],
    ]);
    expect(await requestsOf(MINUTE_OF_START + 4 * MINUTE, 180)).toEqual([[MINUTE_OF_START + 3 * MINUTE, 15]]);
    expect((await traffic.history(START, 1)).stepMs).toBe(MINUTE);
  });

  it('makes steps longer rather than have more of them than anybody draws', async () => {
    const { stepMs } = await traffic.history(0, 1);
    expect((31 * DAY) / stepMs).toBeLessThanOrEqual(2000);
  });

  it('forgets what is older than a month, and not that it was', async () => {
    count(3);
    await traffic.run();
    now += 32 * DAY;
    count(1);
    await traffic.run();
    await traffic.forget();
    expect((await history.list(0)).map(({ requests }) => requests)).toEqual([1]);
    expect((await traffic.recorded()).requests).toBe(4);
  });

  it('loses nothing but time where the index takes no sample', async () => {
    let isBroken = true;
    const fail = () => Promise.reject(new Error('disk full'));
    traffic = begin({
      add: (...sample) => (isBroken ? fail() : history.add(...sample)),
      list: (from) => history.list(from),
      totals: () => (isBroken ? fail() : history.totals()),
      forget: fail,
    });
    count(3);
    await traffic.run();
    await traffic.forget();
    expect(await traffic.recorded()).toMatchObject({ beganAt: START, requests: 3 });
    expect(errors.map(({ message }) => message)).toEqual(['disk full', 'disk full', 'disk full']);
    isBroken = false;
    await traffic.run();
    expect((await history.totals())?.requests).toBe(3);
  });
});
