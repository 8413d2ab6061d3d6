/** An upstream in front of another: what it does not do in its own way, the other does. */
import type { Upstream } from './upstream.ts';

type Questions = Omit<Upstream, 'name' | 'rateLimit' | 'circuits' | 'close'>;

export function delegating(upstream: Upstream, own: Partial<Questions>): Upstream {
  return {
    name: upstream.name,
    get rateLimit() {
      return upstream.rateLimit;
    },
    get circuits() {
      return upstream.circuits;
    },
    resolve: (...question) => upstream.resolve(...question),
    fetchManifest: (...question) => upstream.fetchManifest(...question),
    statBlob: (...question) => upstream.statBlob(...question),
    fetchBlob: (...question) => upstream.fetchBlob(...question),
    listTags: (...question) => upstream.listTags(...question),
    listReferrers: (...question) => upstream.listReferrers(...question),
    close: () => upstream.close(),
    ...own,
  };
}
