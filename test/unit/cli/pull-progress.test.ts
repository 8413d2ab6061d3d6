import { describe, expect, it } from 'vitest';
import { PullProgress, totalsOf } from '../../../src/cli/pull-progress.ts';
import { LiveLines, screenOf } from '../../../src/cli/screen.ts';
import type { JobView, PrefetchBlobView, PrefetchView } from '../../../src/admin/views.ts';
import { movableClock } from '../../support/clock.ts';
import { digestFor } from '../../support/scripted-content.ts';

const MIB = 1024 * 1024;

function blob(name: string, bytes: number, size: number, state: PrefetchBlobView['state']): PrefetchBlobView {
  return { digest: digestFor(name), platform: 'linux/amd64', bytes, size, state };
}

function job(...prefetch: readonly PrefetchView[]): JobView {
  return { id: '1', kind: 'prefetch', state: 'running', startedAt: '2026-03-01T12:00:00.000Z', prefetch };
}

const short = (name: string) => digestFor(name).slice('sha256:'.length, 'sha256:'.length + 12);

describe('PullProgress', () => {
  it('has a line for each reference and each blob, and one for all of it', () => {
    const progress = new PullProgress(movableClock().now);
    const lines = progress.lines(
      job(
        {
          reference: 'library/alpine:3',
          state: 'running',
          blobs: [
            blob('one', 2 * MIB, 4 * MIB, 'running'),
            blob('two', 8 * MIB, 8 * MIB, 'present'),
            blob('three', 0, 6 * MIB, 'waiting'),
          ],
        },
        { reference: 'no\x1bwhere:1', state: 'failed', error: 'there is no such tag', blobs: [] },
      ),
    );
    expect(lines).toEqual([
      'library/alpine:3: Pulling',
      `  ${short('one')} linux/amd64: Downloading [==============>               ] 2 MiB/4 MiB`,
      `  ${short('two')} linux/amd64: Already exists 8 MiB`,
      `  ${short('three')} linux/amd64: Waiting 6 MiB`,
      'no\\u001bwhere:1: Failed: there is no such tag',
      'Total: 1 of 3 blobs, 2 MiB of 10 MiB, 0 B/s',
    ]);
  });

  it('leaves out what does not move where there are too many lines', () => {
    const progress = new PullProgress(movableClock().now);
    const blobs = [
      blob('one', MIB, MIB, 'done'),
      blob('two', 1, MIB, 'running'),
      blob('three', 0, MIB, 'waiting'),
    ];
    const lines = progress.lines(job({ reference: 'a', state: 'running', blobs }), 4);
    expect(lines.map((line) => line.split(':')[0])).toEqual(['a', `  ${short('two')} linux/amd64`, 'Total']);
  });

  it('says how fast it is now, and not how fast it was', () => {
    const clock = movableClock();
    const progress = new PullProgress(clock.now);
    const at = (mib: number) =>
      progress.lines(
        job({ reference: 'a', state: 'running', blobs: [blob('one', mib * MIB, 900 * MIB, 'running')] }),
      );
    at(0);
    clock.pass(1000);
    expect(at(10).at(-1)).toContain('10 MiB/s');
    for (let second = 0; second < 10; second += 1) {
      clock.pass(1000);
      at(10);
    }
    expect(at(10).at(-1)).toContain(', 0 B/s');
  });

  it('counts a blob that two references want once', () => {
    const blobs = [blob('one', MIB, 2 * MIB, 'running')];
    const totals = totalsOf(
      job({ reference: 'a', state: 'running', blobs }, { reference: 'b', state: 'running', blobs }),
    );
    expect(totals).toMatchObject({ blobs: 1, fetchedBytes: MIB, wantedBytes: 2 * MIB });
  });

  it('tells each milestone once', () => {
    const progress = new PullProgress(movableClock().now);
    const running = job({
      ...{ reference: 'a:1', state: 'running' },
      blobs: [blob('one', MIB, 2 * MIB, 'running'), blob('two', 1, 1, 'done')],
    });
    expect(progress.milestones(job({ reference: 'a:1', state: 'waiting', blobs: [] }))).toEqual([]);
    expect(progress.milestones(running)).toEqual([
      'a:1: pulling',
      `a:1: ${short('two')} linux/amd64: Download complete 1 B`,
    ]);
    expect(progress.milestones(running)).toEqual([]);
    const done = job({ reference: 'a:1', state: 'done', digest: digestFor('a'), blobs: [] });
    expect(progress.milestones(done)).toEqual([`a:1: Done, ${digestFor('a')}`]);
  });

  it('sums up what it took, and what there was no room for', () => {
    const clock = movableClock();
    const progress = new PullProgress(clock.now);
    clock.pass(2000);
    const blobs = [
      blob('one', 4 * MIB, 4 * MIB, 'done'),
      blob('two', 4 * MIB, 4 * MIB, 'uncached'),
      blob('three', 1024, 1024, 'present'),
    ];
    expect(progress.summary(job({ reference: 'a', state: 'done', blobs }))).toBe(
      '1 reference, 3 blobs: 8 MiB fetched in 2 s (4 MiB/s), 1 KiB were here before, no room to keep 1 blob',
    );
  });
});

describe('LiveLines', () => {
  function terminal(columns: number, rows: number) {
    let text = '';
    const live = new LiveLines(screenOf({ isTTY: true, columns, rows, write: (more) => (text += more) }, {}));
    return {
      draw: (lines: readonly string[]) => {
        text = '';
        live.draw(lines);
        return text;
      },
    };
  }

  it('draws over what it has drawn, and takes away what is left of it', () => {
    const { draw } = terminal(80, 24);
    expect(draw(['one', 'two'])).toBe('\x1b[2Kone\n\x1b[2Ktwo\n\x1b[J');
    expect(draw(['three'])).toBe('\x1b[2A\x1b[2Kthree\n\x1b[J');
    expect(draw(['four'])).toBe('\x1b[1A\x1b[2Kfour\n\x1b[J');
  });

  it('never draws a line that would wrap, nor more of them than the terminal has', () => {
    const { draw } = terminal(12, 5);
    const text = draw(['123456789012345', 'b', 'c', 'd', 'e', 'total']);
    expect(text.replaceAll(/\x1b\[\d*[A-Z]/g, '').split('\n')).toEqual([
      '1234567890…',
      'b',
      '... 3 more',
      'total',
      '',
    ]);
  });
});
