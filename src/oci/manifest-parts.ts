/** What a manifest says of what it points to, for whoever shows or fetches all of it. */
import { isDigest, type Digest } from './digest.ts';
import { isObject, linksOf, parseJson, type Descriptor, type Manifest } from './manifest.ts';
import { platformIn, type Platform } from './platform.ts';

/** An entry of an index. */
export interface Child extends Descriptor {
  readonly platform: Platform | undefined;
}

/** A config or a layer. */
export interface Part extends Descriptor {
  /** Registries need not have it: clients get it from elsewhere (image-spec v1.1, "Non-Distributable Layers"). */
  readonly isForeign: boolean;
}

export interface ManifestParts {
  /** Of an index. */
  readonly manifests: readonly Child[];
  readonly config: Part | undefined;
  readonly layers: readonly Part[];
  readonly subject: Digest | undefined;
}

/** It is shown to people: nothing else may pass for one. */
const MEDIA_TYPE = /^[\w!#$&^.+/-]+$/;
const FOREIGN = /nondistributable|\.foreign\./;

/** Descriptors with digests that we can't verify are left out: nobody can pull those. */
export function partsOf(manifest: Manifest): ManifestParts {
  const json = parseJson(manifest.bytes);
  const [config] = entriesOf([json['config']]).map(partOf);
  return {
    manifests: entriesOf(json['manifests']).map(({ descriptor, entry }) => {
      return { ...descriptor, platform: platformIn(entry['platform']) };
    }),
    config,
    layers: [...entriesOf(json['layers']), ...entriesOf(json['blobs'])].map(partOf),
    subject: linksOf(manifest).subject,
  };
}

interface Entry {
  readonly descriptor: Descriptor;
  readonly entry: Readonly<Record<string, unknown>>;
}

function partOf({ descriptor, entry: { urls } }: Entry): Part {
  const hasUrls = Array.isArray(urls) && urls.length > 0;
  return { ...descriptor, isForeign: hasUrls || FOREIGN.test(descriptor.mediaType) };
}

function entriesOf(list: unknown): Entry[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown): Entry[] => {
    if (!isObject(entry)) return [];
    const { digest, mediaType, size } = entry;
    if (typeof digest !== 'string' || !isDigest(digest)) return [];
    const descriptor = {
      mediaType: typeof mediaType === 'string' && MEDIA_TYPE.test(mediaType) ? mediaType : '',
      digest,
      size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : 0,
    };
    return [{ descriptor, entry }];
  });
}
