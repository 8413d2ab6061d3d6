import { describe, expect, it, vi } from 'vitest';
import type { JobView } from '../../../src/admin/views.ts';
import { runLine, serveAdministration, type LineOptions } from '../../support/command-line.ts';
import type { ScriptedAdministration } from '../../support/scripted-administration.ts';

/** The job that was started last. */
function newest({ content }: ScriptedAdministration): JobView {
  return content.jobs[0]!;
}

/** Runs a command that starts a job; `act` has its way with the job once the command follows it. */
async function follow(
  args: readonly string[],
  act: (administration: ScriptedAdministration, id: string) => void,
  options: LineOptions = {},
) {
  await using mirror = await serveAdministration();
  const { administration, url } = mirror;
  const running = runLine(args, url, options);
  await vi.waitFor(() => expect(administration.callsOf('job')).not.toEqual([]), { timeout: 20_000 });
  act(administration, newest(administration).id);
  const result = await running;
  return { ...result, job: newest(administration), calls: administration.calls };
}

describe('pull', () => {
  it('tells the milestones where nothing can be redrawn, and sums up', async () => {
    const args = ['pull', 'alpine:3', '--platform', 'linux/amd64', '--platform=linux/arm64'];
    const { code, stdout, stderr, calls } = await follow(args, (administration, id) => {
      administration.advance(id, Number.MAX_SAFE_INTEGER);
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(calls.find(({ method }) => method === 'prefetch')?.arguments).toEqual([
      { references: ['alpine:3'], platforms: ['linux/amd64', 'linux/arm64'] },
    ]);
    expect(stdout).not.toContain('\x1b');
    expect(stdout).toMatch(/^library\/alpine:3: pulling$/m);
    expect(stdout).toMatch(/: Download complete /);
    expect(stdout).toMatch(/^1 reference, \d+ blobs: .* fetched in /m);
  });

  it('draws bars on a terminal', async () => {
    await using mirror = await serveAdministration();
    const { administration, url } = mirror;
    const { code, stdout } = await runLine(['pull', 'alpine:3'], url, {
      columns: 100,
      onOutput: (text) => {
        const { id, state } = newest(administration);
        const bytes = text.includes('Downloading') ? Number.MAX_SAFE_INTEGER : 20 * 1024 ** 2;
        if (state === 'running') administration.advance(id, bytes);
      },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/Downloading \[=+> +\] 20 MiB\/48 MiB/);
    expect(stdout).toMatch(/\x1b\[\d+A/);
  });

  it('exits with 1, and with every reason, where a reference fails', async () => {
    const { code, stderr } = await follow(['pull', 'alpine:3'], (administration, id) => {
      const [reference] = newest(administration).prefetch!;
      administration.end(id, {
        state: 'failed',
        prefetch: [{ ...reference!, state: 'failed', error: 'upstream \x1bsays no' }],
      });
    });
    expect(code).toBe(1);
    expect(stderr).toBe('entrepot: library/alpine:3: upstream \\u001bsays no\n');
  });

  it('--json prints the job as it ended, and nothing else', async () => {
    const { code, stdout, job } = await follow(
      ['pull', 'alpine:3', '--json'],
      (administration, id) => void administration.advance(id, Number.MAX_SAFE_INTEGER),
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(job);
    expect(job.state).toBe('succeeded');
  });

  it('cancels the job when it is interrupted, and exits with 130', async () => {
    const interruption = new AbortController();
    const { code, job, stderr } = await follow(['pull', 'alpine:3'], () => interruption.abort(), {
      interrupted: interruption.signal,
    });
    expect({ code, stderr, state: job.state }).toEqual({ code: 130, stderr: '', state: 'cancelled' });
  });

  it('lets the job run where it is told to', async () => {
    await using mirror = await serveAdministration();
    const { code, stdout } = await runLine(['pull', '-d', 'alpine:3'], mirror.url);
    const job = newest(mirror.administration);
    expect({ code, stdout, state: job.state }).toEqual({
      code: 0,
      stdout: `job ${job.id} runs\n`,
      state: 'running',
    });
  });
});

describe('evict, scrub and check', () => {
  const SCRUB = { isRunning: false, scannedBlobs: 3, scannedBytes: 2048, corruptBlobs: 0 };
  it.each<[string[], Partial<JobView>, string]>([
    [
      ['evict', '10MiB'],
      { evict: { freedBytes: 10_485_760, blobs: 2, manifests: 1 } },
      '10 MiB freed: 2 blobs, 1 manifest\n',
    ],
    [['scrub'], { scrub: SCRUB }, '3 blobs, 2 KiB read: all of it is as it should be\n'],
    [['scrub'], { scrub: { ...SCRUB, corruptBlobs: 1 } }, '3 blobs, 2 KiB read: 1 corrupt, forgotten'],
    [['check'], {}, 'the index is sound\n'],
  ])('%j follows its job and tells what it did', async (args, result, text) => {
    const { code, stdout } = await follow(args, (administration, id) => {
      administration.end(id, { state: 'succeeded', ...result });
    });
    expect(code).toBe(0);
    expect(stdout).toContain(text);
  });

  it('exits with 1 where the job fails or somebody cancels it', async () => {
    const failed = await follow(['check'], (administration, id) => {
      administration.end(id, { state: 'failed', error: 'row 3 is missing' });
    });
    expect(failed).toMatchObject({ code: 1, stdout: '', stderr: 'entrepot: row 3 is missing\n' });
    const cancelled = await follow(['scrub'], (administration, id) => {
      administration.end(id, { state: 'cancelled' });
    });
    expect(cancelled).toMatchObject({ code: 1, stderr: 'entrepot: it was cancelled\n' });
  });

  it('asks for as many bytes as were said, and for none that are no number', async () => {
    await using mirror = await serveAdministration();
    await runLine(['evict', '--detach', '10GiB'], mirror.url);
    await runLine(['evict', '--detach'], mirror.url);
    const wrong = await runLine(['evict', '10G'], mirror.url);
    expect(mirror.administration.callsOf('evict')).toEqual([[10 * 1024 ** 3], [undefined]]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('10GiB');
  });
});
