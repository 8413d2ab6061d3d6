/** What is asked of the load client, and how the cost of a server is read. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { hammers, planLine, readers } from '../../../bench/load/client.ts';
import { cpuSeconds, peakRssBytes, processTree, ticksOf } from '../../../bench/support/process-usage.ts';

test('a line of the plan has the connections, the rate, and the requests stage by stage', () => {
  const stages = [['HEAD /a'], ['/b', 'GET /c']];
  expect(planLine({ connections: 3, bytesPerSecond: 1000, stages })).toBe('3 1000 HEAD /a | GET /b GET /c\n');
  expect(planLine({ stages: [['/a']] })).toBe('1 0 GET /a\n');
});

test('readers all ask for the same, one after the other', () => {
  expect(readers(2, '/a', '/b')).toEqual([{ stages: [['/a', '/b']] }, { stages: [['/a', '/b']] }]);
});

test('hammers share the requests out, and none is without', () => {
  expect(hammers(2, ['/a', '/b', '/c'])).toEqual([{ stages: [['/a', '/c']] }, { stages: [['/b']] }]);
  expect(hammers(3, ['/a', '/b'])).toEqual([
    { stages: [['/a']] },
    { stages: [['/b']] },
    { stages: [['/a']] },
  ]);
});

test('processor time is read past a name with brackets and blanks', () => {
  const stat = '42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 7 11 13 17 20 0 1 0 100';
  expect(ticksOf(stat)).toBe(7 + 11 + 13 + 17);
});

test('a process is found with its children, and costs time and memory', async () => {
  const child = spawn('sh', ['-c', 'sleep 60 & echo ready; wait'], { detached: true, stdio: 'pipe' });
  const pid = child.pid!;
  onTestFinished(async () => {
    process.kill(-pid, 'SIGKILL');
    await once(child, 'close');
  });
  await once(child.stdout, 'data');
  expect(processTree(pid)).toHaveLength(2);
  expect(peakRssBytes([pid])).toBeGreaterThan(0);
  expect(cpuSeconds([process.pid])).toBeGreaterThan(0);
});

test('a process that is gone costs nothing', async () => {
  const child = spawn('true');
  const pid = child.pid!;
  await once(child, 'close');
  expect(processTree(pid)).toEqual([]);
  expect(cpuSeconds([pid])).toBe(0);
  expect(peakRssBytes([pid])).toBe(0);
});
