/** Platforms as they are written, `linux/arm64/v8`, and which of an index's are meant by one (containerd's platforms). */

/** Of an index's descriptor, or of an image's config (image-spec v1.1, "Image Index Property Descriptions"). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

const GRAMMAR = /^([a-z0-9_.-]+)\/([a-z0-9_.-]+)(?:\/([a-z0-9_.-]+))?$/;
/** What a variant is where none is said. */
const DEFAULT_VARIANT: Readonly<Record<string, string>> = { amd64: 'v1', arm: 'v7', arm64: 'v8' };

/** `undefined` where it is none. */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = GRAMMAR.exec(text.toLowerCase()) ?? [];
  if (os === undefined || architecture === undefined) return undefined;
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/** The platform in what came as JSON, if there is one. */
export function platformIn(json: unknown): Platform | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { os, architecture, variant } = json as Readonly<Record<string, unknown>>;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  const hasVariant = typeof variant === 'string' && variant !== '';
  return parsePlatform([os, architecture, ...(hasVariant ? [variant] : [])].join('/'));
}

/** BuildKit puts its attestations into an index as manifests of no platform. */
export function isOfNoPlatform({ os, architecture }: Platform): boolean {
  return os === 'unknown' && architecture === 'unknown';
}

/**
 * Those that a client of that platform would take: of the same variant or, where there is none, of the best one that it
 * can run too.
 */
export function selectPlatform<T extends { readonly platform?: Platform | undefined }>(
  candidates: readonly T[],
  wanted: Platform,
): readonly T[] {
  const runnable = candidates.flatMap((candidate) => {
    const level = candidate.platform && levelFor(wanted, candidate.platform);
    return level === undefined ? [] : [{ candidate, level }];
  });
  const best = Math.max(...runnable.map(({ level }) => level));
  return runnable.filter(({ level }) => level === best).map(({ candidate }) => candidate);
}

/** How good a match it is: the number of its variant; `undefined` where it does not run there. */
function levelFor(wanted: Platform, offered: Platform): number | undefined {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return undefined;
  const [most, level] = [levelOf(wanted), levelOf(offered)];
  if (most !== undefined && level !== undefined) return level <= most ? level : undefined;
  return wanted.variant === offered.variant ? 0 : undefined;
}

function levelOf({ architecture, variant = DEFAULT_VARIANT[architecture] }: Platform): number | undefined {
  const number = /^v(\d+(?:\.\d+)?)$/.exec(variant ?? '')?.[1];
  return number === undefined ? undefined : Number(number);
}
