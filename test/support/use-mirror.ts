/** What one suite works with: a scripted upstream with a mirror in front of it, fresh before each of its tests. */
import { beforeEach } from 'vitest';
import { startMirror, type MirrorOptions, type RunningMirror } from './mirror.ts';
import { ScriptedUpstream, type ScriptedUpstreamOptions } from './scripted-upstream.ts';

export interface Pair {
  readonly upstream: ScriptedUpstream;
  readonly mirror: RunningMirror;
  /** Where the registry is, up to and with `/v2`. */
  readonly v2: string;
}

export interface PairOptions extends Omit<MirrorOptions, 'upstreamUrl'> {
  readonly scripted?: ScriptedUpstreamOptions;
}

/** @param before `beforeAll` where no test minds what the others leave behind */
export function useMirror(
  { scripted, ...options }: PairOptions = {},
  before: (start: () => Promise<() => Promise<void>>) => void = beforeEach,
): Pair {
  let pair: Omit<Pair, 'v2'> | undefined;
  before(async () => {
    const upstream = await ScriptedUpstream.start(scripted);
    const mirror = await startMirror({ ...options, upstreamUrl: upstream.url });
    pair = { upstream, mirror };
    return async () => {
      await mirror.close();
      await upstream.close();
    };
  });
  const started = () => {
    if (!pair) throw new Error('there is a mirror only while a test of the suite runs');
    return pair;
  };
  return {
    get upstream() {
      return started().upstream;
    },
    get mirror() {
      return started().mirror;
    },
    get v2() {
      return `${started().mirror.url}/v2`;
    },
  };
}
