/** Jobs as a list shows them: however much they fetch, it is told in full to everybody who watches, twice a second. */
import type { JobView } from './views.ts';

/** Some 300 KiB of JSON. */
const MAX_BLOBS = 2000;

/** Without the blobs of references that are not being fetched, where those of newer jobs are as many as are listed. */
export function asListed(newestFirst: readonly JobView[]): readonly JobView[] {
  let left = MAX_BLOBS;
  return newestFirst.map((job) => {
    const { prefetch = [] } = job;
    const count = prefetch.reduce((sum, { blobs }) => sum + blobs.length, 0);
    if (count <= left) {
      left -= count;
      return job;
    }
    const listed = prefetch.map((reference) =>
      reference.state === 'running' ? reference : { ...reference, blobs: [] },
    );
    return { ...job, prefetch: listed };
  });
}
