/** What a scripted administration shows unless a test says otherwise: plausible, and always the same. */
import { createHash } from 'node:crypto';
import type {
  ClientView,
  DownloadView,
  HistoryView,
  JobView,
  ManifestView,
  PinView,
  RepositoryView,
  StateView,
  TagView,
  TroubleView,
} from '../../src/admin/views.ts';

export const NOW = '2026-03-01T12:00:00.000Z';
const MIB = 1024 * 1024;
const OCI = 'application/vnd.oci.image';

/** The digest of that text, where a fixed one is wanted. */
export function digestFor(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** All of it may be changed by a test. */
export interface ScriptedContent {
  state: StateView;
  history: HistoryView;
  troubles: TroubleView[];
  clients: ClientView[];
  downloads: DownloadView[];
  /** In lexical order. */
  repositories: RepositoryView[];
  /** By repository, in lexical order. */
  tags: Map<string, TagView[]>;
  manifests: ManifestView[];
  pins: PinView[];
  /** The newest first. */
  jobs: JobView[];
}

export function scriptedContent(): ScriptedContent {
  return {
    state: stateView(),
    history: {
      stepSeconds: 60,
      points: [
        historyPoint('2026-03-01T11:58:00.000Z', 40, 10),
        historyPoint('2026-03-01T11:59:00.000Z', 60, 57),
      ],
    },
    troubles: [
      {
        at: '2026-03-01T11:59:30.000Z',
        level: 'error',
        message: 'a blob could not be fetched',
        reason: 'ghcr.io does not answer',
        requestId: 'Xk3v9Qe2',
      },
      { at: '2026-03-01T11:40:00.000Z', level: 'warn', message: 'the pull limit is nearly spent' },
    ],
    clients: [
      {
        address: '10.0.0.17',
        userAgent: 'docker/29.1.0 go/go1.25 os/linux arch/amd64',
        requests: 512,
        lastSeenAt: NOW,
      },
      {
        address: '10.0.0.18',
        userAgent: 'containerd/v2.2.0',
        requests: 88,
        lastSeenAt: '2026-03-01T11:12:00.000Z',
      },
    ],
    downloads: [
      {
        digest: digestFor('layer of node'),
        upstream: 'docker.io',
        repository: 'library/node',
        state: 'running',
        bytes: 12 * MIB,
        size: 48 * MIB,
        startedAt: '2026-03-01T11:59:50.000Z',
        clients: 2,
      },
    ],
    repositories: [
      repositoryView('ghcr.io/example/tool', 'ghcr.io', 9 * MIB),
      repositoryView('library/alpine', 'docker.io', 7 * MIB),
      repositoryView('library/node', 'docker.io', 180 * MIB),
    ],
    tags: new Map([
      ['ghcr.io/example/tool', [tagView('ghcr.io/example/tool', 'v1.4.0', 9 * MIB)]],
      [
        'library/alpine',
        [
          { ...tagView('library/alpine', '3', 7 * MIB), isPinned: true },
          tagView('library/alpine', 'latest', 7 * MIB),
        ],
      ],
      ['library/node', [tagView('library/node', '24', 180 * MIB)]],
    ]),
    manifests: [indexView(), imageView()],
    pins: [{ reference: 'library/alpine:3', upstream: 'docker.io', bytes: 7 * MIB, isHeld: true }],
    jobs: [prefetchJob()],
  };
}

function stateView(): StateView {
  const traffic = {
    requests: 5200,
    hits: 4900,
    servedBytes: 900 * MIB,
    hitBytes: 700 * MIB,
    fetchedBytes: 200 * MIB,
    savedBytes: 700 * MIB,
  };
  return {
    instance: 'b7f0c1d2-6a51-4c39-9d0e-3f2a1b4c5d6e',
    version: '0.1.0',
    startedAt: '2026-03-01T08:00:00.000Z',
    now: NOW,
    registryUrl: 'http://0.0.0.0:5000',
    health: { status: 'ok', faults: [], warnings: [] },
    isOffline: false,
    cache: {
      bytes: 196 * MIB,
      maxBytes: 40 * 1024 * MIB,
      reachableBytes: 38 * 1024 * MIB,
      blobs: 31,
      manifests: 12,
      partialBytes: 12 * MIB,
      pinnedBytes: 7 * MIB,
      diskFreeBytes: 60 * 1024 * MIB,
    },
    traffic: {
      sinceStart: { since: '2026-03-01T08:00:00.000Z', ...traffic },
      recorded: { since: '2026-01-01T00:00:00.000Z', ...traffic },
    },
    downloads: { running: 1, queued: 0 },
    upstreams: [
      {
        name: 'docker.io',
        url: 'https://registry-1.docker.io',
        namespaces: ['docker.io', 'registry-1.docker.io'],
        isDefault: true,
        account: 'anonymous',
        rateLimit: { limit: 100, remaining: 76, windowSeconds: 21_600, seenAt: NOW },
        hosts: [
          { host: 'registry-1.docker.io', circuit: 'closed' },
          { host: 'auth.docker.io', circuit: 'closed' },
        ],
      },
      {
        name: 'ghcr.io',
        url: 'https://ghcr.io',
        namespaces: ['ghcr.io'],
        isDefault: false,
        account: 'password',
        hosts: [{ host: 'ghcr.io', circuit: 'open' }],
      },
    ],
    scrub: {
      isRunning: false,
      scannedBlobs: 30,
      scannedBytes: 190 * MIB,
      corruptBlobs: 0,
      lastCompletedAt: '2026-02-28T03:00:00.000Z',
    },
    workers: 0,
  };
}

function historyPoint(at: string, requests: number, hits: number) {
  return {
    ...{ at, requests, hits, servedBytes: requests * MIB, hitBytes: hits * MIB },
    fetchedBytes: (requests - hits) * MIB,
  };
}

function repositoryView(repository: string, upstream: string, bytes: number): RepositoryView {
  return {
    ...{ repository, upstream, bytes },
    tags: repository === 'library/alpine' ? 2 : 1,
    manifests: 2,
    blobs: 4,
    sharedBytes: MIB,
    lastUsedAt: '2026-03-01T11:30:00.000Z',
  };
}

function tagView(repository: string, tag: string, bytes: number): TagView {
  return {
    ...{ tag, bytes },
    digest: digestFor(`index of ${repository}`),
    mediaType: `${OCI}.index.v1+json`,
    checkedAt: '2026-03-01T11:59:00.000Z',
    isHeld: true,
    platforms: ['linux/amd64', 'linux/arm64'],
    isPinned: false,
    lastUsedAt: '2026-03-01T11:30:00.000Z',
  };
}

const ALPINE = { repository: 'library/alpine', upstream: 'docker.io', lastUsedAt: NOW, isPinned: true };
const held = (text: string, mediaType: string, size: number) => ({
  ...{ digest: digestFor(text), mediaType, size },
  isHeld: true,
  repositories: 1,
});

function indexView(): ManifestView {
  return {
    ...ALPINE,
    digest: digestFor('index of library/alpine'),
    mediaType: `${OCI}.index.v1+json`,
    size: 1200,
    tags: ['3', 'latest'],
    manifests: [
      { ...held('alpine amd64', `${OCI}.manifest.v1+json`, 610), platform: 'linux/amd64' },
      { ...held('alpine arm64', `${OCI}.manifest.v1+json`, 610), isHeld: false, platform: 'linux/arm64' },
    ],
    layers: [],
  };
}

function imageView(): ManifestView {
  return {
    ...ALPINE,
    digest: digestFor('alpine amd64'),
    mediaType: `${OCI}.manifest.v1+json`,
    size: 610,
    tags: [],
    platform: 'linux/amd64',
    manifests: [],
    config: held('alpine config', `${OCI}.config.v1+json`, 581),
    layers: [held('alpine layer', `${OCI}.layer.v1.tar+gzip`, 3 * MIB)],
  };
}

/** Of two blobs, neither of which is here. */
export function prefetchJob(id = 'prefetch-1', reference = 'library/node:24'): JobView {
  const blob = (text: string, size: number) =>
    ({ digest: digestFor(text), platform: 'linux/amd64', size, bytes: 0, state: 'waiting' }) as const;
  return {
    id,
    kind: 'prefetch',
    state: 'running',
    startedAt: '2026-03-01T11:59:50.000Z',
    prefetch: [
      {
        reference,
        state: 'running',
        digest: digestFor(`index of ${reference}`),
        blobs: [blob('config of node', 2048), blob('layer of node', 48 * MIB)],
      },
    ],
  };
}
