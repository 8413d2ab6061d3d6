/** The arithmetic of a rollout, and that docs/scale.md says what it gives. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { withTables, type Measured } from '../../../bench/model/page.ts';
import { predict, type Figures, type Rollout } from '../../../bench/model/rollout.ts';

const GIB = 1024 ** 3;
const FREE: Figures = {
  sendCpuSecondsPerGiB: 0,
  sendTlsCpuSecondsPerGiB: 0,
  ingestCpuSecondsPerGiB: 0,
  requestCpuSeconds: 0,
  firstByteSeconds: 0,
};
const FAST: Rollout = {
  topology: 'one',
  nodes: 80,
  imageBytes: GIB,
  requests: 10,
  nodesInRack: 40,
  line: Infinity,
  nodeNetwork: Infinity,
  rackUplink: Infinity,
  mirror: { cores: 1, network: Infinity, diskWrite: Infinity, diskRead: Infinity, pageCache: Infinity },
  isTls: false,
};
const mirror = (change: Partial<Rollout['mirror']>) => ({ mirror: { ...FAST.mirror, ...change } });

describe('predict', () => {
  it.each([
    ['none', 80],
    ['one', 1],
    ['rack', 2],
    ['tree', 1],
  ] as const)('takes the image over the line as often as it must: %s, %i times', (topology, times) => {
    const { seconds, limit, lineBytes } = predict({ ...FAST, topology, line: GIB }, FREE);
    expect([seconds, limit, lineBytes]).toEqual([times, 'the line', times * GIB]);
  });

  it.each([
    ['one', 80, "the mirror's network card"],
    ['rack', 40, "a rack's mirror's network card"],
    ['tree', 40, "a rack's mirror's network card"],
  ] as const)('sends it to each client of a mirror: %s', (topology, seconds, limit) => {
    const prediction = predict({ ...FAST, topology, ...mirror({ network: GIB }) }, FREE);
    expect([prediction.seconds, prediction.limit]).toEqual([seconds, limit]);
  });

  it('makes the root the limit where there are more racks than nodes in one', () => {
    const { seconds, limit } = predict(
      { ...FAST, topology: 'tree', nodes: 4000, ...mirror({ network: GIB }) },
      FREE,
    );
    expect([seconds, limit]).toEqual([100, "the root's network card"]);
  });

  it.each([
    ['one', 40],
    ['rack', 1],
  ] as const)('takes the uplink of a rack for each node or once: %s', (topology, seconds) => {
    expect(predict({ ...FAST, topology, rackUplink: GIB }, FREE).seconds).toBe(seconds);
  });

  it('pays for sending, for coming in and for requests, shared by the cores', () => {
    const figures = {
      ...FREE,
      sendCpuSecondsPerGiB: 0.5,
      ingestCpuSecondsPerGiB: 3,
      requestCpuSeconds: 0.01,
    };
    const plain = predict({ ...FAST, ...mirror({ cores: 2 }) }, figures);
    expect(plain.seconds).toBeCloseTo((80 * 0.5 + 3 + 80 * 10 * 0.01) / 2);
    expect(plain.limit).toBe("the mirror's processor");
    const tls = predict({ ...FAST, isTls: true }, { ...FREE, sendTlsCpuSecondsPerGiB: 2 });
    expect(tls.seconds).toBe(160);
  });

  it('reads from the disk for each client only what does not fit into memory', () => {
    const slowDisk = { diskRead: GIB, diskWrite: GIB };
    expect(predict({ ...FAST, ...mirror(slowDisk) }, FREE).seconds).toBe(1);
    expect(predict({ ...FAST, ...mirror({ ...slowDisk, pageCache: GIB - 1 }) }, FREE).seconds).toBe(81);
  });

  it('adds the time to the first byte for each mirror on the way', () => {
    const figures = { ...FREE, firstByteSeconds: 0.25 };
    const seconds = (['none', 'one', 'rack', 'tree'] as const).map(
      (topology) => predict({ ...FAST, topology }, figures).seconds,
    );
    expect(seconds).toEqual([0, 0.25, 0.25, 0.5]);
  });
});

describe('docs/scale.md', () => {
  it('has the tables that the model makes of the published benchmark', async () => {
    const root = join(import.meta.dirname, '../../..');
    const path = join(root, 'docs/scale.md');
    const page = readFileSync(path, 'utf8');
    const measured = JSON.parse(readFileSync(join(root, 'docs/benchmarks/results.json'), 'utf8')) as Measured;
    const made = await format(withTables(page, measured), {
      ...(await resolveConfig(path)),
      filepath: path,
    });
    expect(page, 'run: node bench/model/main.ts --publish').toBe(made);
  });
});
