/** Pins as they are looked for and shown. */
import type { CatalogStore, Pin, PinSummary } from '../metadata/catalog-store.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { isDigest } from '../oci/digest.ts';
import {
  formatReference,
  isRepositoryName,
  isTag,
  parseReference,
  type Reference,
  type Tag,
} from '../oci/reference.ts';
import { AdminError, type PageRequest } from './administration.ts';
import type { ImageNames } from './names.ts';
import { pageOf } from './pages.ts';
import type { Page, PinView } from './views.ts';

const PAGE = 100;
/** Before every other of its repository. */
const FIRST: Reference = { kind: 'tag', tag: '' as Tag };

/** Of one repository, by their tags or digests. */
export async function pinsOf(
  catalog: Pick<CatalogStore, 'listPins'>,
  repository: RepositoryKey,
): Promise<ReadonlyMap<string, PinSummary>> {
  const pins = new Map<string, PinSummary>();
  for (let reference: Reference | undefined = FIRST; reference;) {
    const page: readonly PinSummary[] = await catalog.listPins({ repository, reference }, PAGE);
    reference = page.length < PAGE ? undefined : page.at(-1)?.reference;
    for (const pin of page) {
      if (pin.repository.upstream !== repository.upstream || pin.repository.name !== repository.name) {
        return pins;
      }
      pins.set(formatReference(pin.reference), pin);
    }
  }
  return pins;
}

export function pinView(names: ImageNames, { repository, reference, bytes, isHeld }: PinSummary): PinView {
  return {
    reference: names.formatReference(repository, reference),
    upstream: repository.upstream,
    ...{ bytes, isHeld },
  };
}

export interface PinPorts {
  readonly names: ImageNames;
  readonly catalog: Pick<CatalogStore, 'listPins'>;
}

/** The pin that is shown by that name and is of an upstream that is no longer configured: none is meant by it otherwise. */
export async function findStrayPin({ names, catalog }: PinPorts, text: string): Promise<Pin | undefined> {
  for (let after: Pin | undefined; ;) {
    const page: readonly Pin[] = await catalog.listPins(after, PAGE);
    const stray = page.find(
      ({ repository, reference }) =>
        !names.upstreams.includes(repository.upstream) &&
        names.formatReference(repository, reference) === text,
    );
    if (stray || page.length < PAGE) return stray;
    after = page.at(-1);
  }
}

export function listPins({ names, catalog }: PinPorts, page: PageRequest): Promise<Page<PinView>> {
  const after = page.after === undefined ? undefined : parseKey(page.after);
  return pageOf(page, (count) => catalog.listPins(after, count), {
    keyOf: formatKey,
    viewOf: (pin) => pinView(names, pin),
  });
}

/** Names and references hold no space; an upstream may. */
function formatKey({ repository: { upstream, name }, reference }: Pin): string {
  return `${name} ${formatReference(reference)} ${upstream}`;
}

function parseKey(key: string): Pin {
  const [, name = '', reference = '', upstream = ''] = /^(\S+) (\S+) (.+)$/.exec(key) ?? [];
  if (isRepositoryName(name) && (isTag(reference) || isDigest(reference))) {
    return { repository: { upstream, name }, reference: parseReference(reference) };
  }
  throw new AdminError('invalid', `there is no page after ${JSON.stringify(key.slice(0, 200))}`);
}
