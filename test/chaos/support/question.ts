/** What a client asks for, in the words of the model. */
import type { Digest } from '../../../src/oci/digest.ts';

interface Asked {
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  /** Asks as containerd does, with `?ns=`. */
  readonly hasNamespace?: boolean;
}

export type Question =
  | (Asked & { readonly kind: 'tag'; readonly tag: string; readonly ifNoneMatch?: Digest })
  | (Asked & { readonly kind: 'manifest' | 'blob'; readonly digest: Digest } & ContentOptions)
  | (Asked & { readonly kind: 'tags'; readonly last?: string; readonly n?: number })
  | (Asked & { readonly kind: 'referrers'; readonly digest: Digest });

export interface ContentOptions {
  readonly ifNoneMatch?: Digest;
  /** `bytes=...` */
  readonly range?: string;
}

/** Any name that the mirror's first upstream has. */
const NAMESPACE = 'docker.io';

export function pathOf(question: Question): string {
  const query = new URLSearchParams(question.hasNamespace ? { ns: NAMESPACE } : {});
  if (question.kind === 'tags') {
    if (question.n !== undefined) query.set('n', String(question.n));
    if (question.last !== undefined) query.set('last', question.last);
  }
  const path = `/v2/${question.repository}/${endpointOf(question)}`;
  return query.size > 0 ? `${path}?${query.toString()}` : path;
}

export function headersOf(question: Question): Record<string, string> {
  const { range, ifNoneMatch } = question as ContentOptions;
  return {
    ...(range === undefined ? {} : { range }),
    ...(ifNoneMatch === undefined ? {} : { 'if-none-match': `"${ifNoneMatch}"` }),
  };
}

function endpointOf(question: Question): string {
  switch (question.kind) {
    case 'tag':
      return `manifests/${question.tag}`;
    case 'manifest':
      return `manifests/${question.digest}`;
    case 'blob':
      return `blobs/${question.digest}`;
    case 'tags':
      return 'tags/list';
    case 'referrers':
      return `referrers/${question.digest}`;
  }
}
