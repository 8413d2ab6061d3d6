/** An upstream that can be switched off: while it is, nobody is asked for anything. */
import { delegating } from './delegating.ts';
import { UpstreamError, type Upstream } from './upstream.ts';

/** One for all upstreams of a process. */
export interface OfflineSwitch {
  isOn: boolean;
}

export function switchable(upstream: Upstream, offline: OfflineSwitch): Upstream {
  const unlessOffline = <Arguments extends unknown[], Result>(
    ask: (...args: Arguments) => Promise<Result>,
  ): ((...args: Arguments) => Promise<Result>) => {
    return async (...args) => {
      if (offline.isOn) throw new UpstreamError('offline', 'the mirror is switched offline');
      return ask(...args);
    };
  };
  return delegating(upstream, {
    resolve: unlessOffline((...args) => upstream.resolve(...args)),
    fetchManifest: unlessOffline((...args) => upstream.fetchManifest(...args)),
    statBlob: unlessOffline((...args) => upstream.statBlob(...args)),
    fetchBlob: unlessOffline((...args) => upstream.fetchBlob(...args)),
    listTags: unlessOffline((...args) => upstream.listTags(...args)),
    listReferrers: unlessOffline((...args) => upstream.listReferrers(...args)),
  });
}
