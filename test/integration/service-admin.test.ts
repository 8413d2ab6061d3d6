import { rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { get, head, jsonOf, request } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { parseMetrics, type Sample } from '../support/metrics.ts';
import { expectError } from '../support/oci-error.ts';
import { useMirror } from '../support/use-mirror.ts';

const ADMIN_PATHS = ['/healthz', '/readyz', '/metrics'];
const pair = useMirror({ scripted: { pullLimit: 100 } });

async function scrape() {
  const answer = await get(`${pair.mirror.adminUrl}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
  return parseMetrics(answer.body.toString());
}

describe('the admin listener', () => {
  it('says that the process lives, and that it is ready', async () => {
    const { adminUrl } = pair.mirror;
    const alive = await get(`${adminUrl}/healthz`);
    expect([alive.status, jsonOf(alive)]).toEqual([200, { status: 'ok' }]);
    const ready = await get(`${adminUrl}/readyz`);
    expect([ready.status, jsonOf(ready)]).toEqual([200, { status: 'ok', faults: [], warnings: [] }]);
    expect((await head(`${adminUrl}/readyz`)).status).toBe(200);
  });

  it.each(ADMIN_PATHS)('keeps %s to itself: the registry has nothing there', async (path) => {
    expectError(await get(`${pair.mirror.url}${path}`), 404, 'UNSUPPORTED');
  });

  it.each(['/nothing', '/v2/', '/metrics/more', '/%2e%2e%2f', '/healthz/%E0%A4%A'])(
    'answers JSON for %s, where it has nothing',
    async (path) => {
      const answer = await get(`${pair.mirror.adminUrl}${path}`);
      expect(answer.status).toBe(404);
      expect(answer.headers['content-type']).toMatch(/^application\/json/);
      expect(jsonOf(answer)).toEqual({ error: expect.any(String) as string });
    },
  );

  it('is ready but degraded, and says why, while the data directory is gone; and is well again after that', async () => {
    const { dataDir, adminUrl, url } = pair.mirror;
    await rename(dataDir, `${dataDir}.away`);
    try {
      const ready = await get(`${adminUrl}/readyz`);
      // Out of rotation it would send every node to the upstream by itself.
      expect(ready.status).toBe(200);
      expect(jsonOf(ready)).toEqual({
        status: 'degraded',
        faults: [],
        warnings: expect.arrayContaining([
          'the data directory can not be written: no such file or directory',
        ]) as unknown,
      });
      // The process lives all the same: to restart it would help nobody.
      expect((await get(`${adminUrl}/healthz`)).status).toBe(200);
      const metrics = await get(`${adminUrl}/metrics`);
      expect(metrics.status).toBe(200);
      expect(metrics.body.toString()).toMatch(/^entrepot_cache_max_bytes Nan$/im);
      expect((await get(`${url}/v2/`)).status).toBe(200);
    } finally {
      await rename(`${dataDir}.away`, dataDir);
    }
    const ready = await get(`${adminUrl}/readyz`);
    expect(jsonOf(ready)).toEqual({ status: 'ok', faults: [], warnings: [] });
    expect((await get(`${adminUrl}/metrics`)).status).toBe(200);
  });
});

describe('the metrics', () => {
  it('are in the text format of Prometheus, with names and units as it wants them', async () => {
    const { upstream, v2 } = pair;
    upstream.push('library/alpine', '3', buildImage());
    await get(`${v2}/library/alpine/manifests/3`);
    const families = await scrape();
    expect(families.size).toBeGreaterThan(15);
    for (const [name, { type, help, samples }] of families) {
      expect(name).toMatch(/^(entrepot|registry_proxy|process|nodejs)_[a-z_]+$/);
      expect(['counter', 'gauge', 'histogram']).toContain(type);
      expect(help).toMatch(/^[A-Z].*\.$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|kb|mb|count|gauge|counter)(_|$)/);
      for (const sample of samples) expect(sample.value).toBeGreaterThanOrEqual(0);
    }
  });

  it('count a known pull exactly: requests, hits, misses, bytes served and bytes fetched', async () => {
    const { upstream, v2 } = pair;
    const image = buildImage({ layers: 2, layerSize: 5000 });
    upstream.push('library/alpine', '3', image);
    const blobs = image.blobs.map(({ digest }) => digest);
    const blobBytes = image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const manifestBytes = image.manifest.bytes.length;
    for (let pull = 0; pull < 3; pull += 1) {
      await head(`${v2}/library/alpine/manifests/3`);
      await get(`${v2}/library/alpine/manifests/${image.manifest.digest}`);
      for (const digest of blobs) await get(`${v2}/library/alpine/blobs/${digest}`);
      // A client has its bytes before they are stored, and whoever comes in between joins the download.
      await expect.poll(() => pair.mirror.metric('entrepot_downloads_running')).toBe(0);
    }
    await get(`${v2}/library/alpine/manifests/missing`);

    const value = valuesOf(await scrape());
    const requests = (labels: string) => value(`entrepot_requests_total{${labels}}`);
    expect(requests('route="manifest",method="HEAD",status="200",source="miss"')).toBe(1);
    expect(requests('route="manifest",method="HEAD",status="200",source="hit"')).toBe(2);
    expect(requests('route="manifest",method="GET",status="200",source="miss"')).toBe(1);
    expect(requests('route="manifest",method="GET",status="200",source="hit"')).toBe(2);
    expect(requests('route="manifest",method="GET",status="404",source="none"')).toBe(1);
    expect(requests('route="blob",method="GET",status="200",source="miss"')).toBe(3);
    expect(requests('route="blob",method="GET",status="200",source="hit"')).toBe(6);
    expect(value('entrepot_served_bytes_total{route="blob",source="miss"}')).toBe(blobBytes);
    expect(value('entrepot_served_bytes_total{route="blob",source="hit"}')).toBe(2 * blobBytes);
    expect(value('entrepot_fetched_bytes_total{type="blob"}')).toBe(blobBytes);
    expect(value('entrepot_fetched_bytes_total{type="manifest"}')).toBe(manifestBytes);
    expect(value('entrepot_downloads_total{outcome="stored"}')).toBe(3);
    expect(value('entrepot_downloads_running')).toBe(0);
    expect(value('entrepot_cache_blobs')).toBe(3);
    expect(value('entrepot_cache_manifests')).toBe(1);
    expect(value('entrepot_cache_bytes')).toBe(blobBytes + manifestBytes);
    const account = `upstream="${new URL(upstream.url).host}"`;
    expect(value(`entrepot_upstream_rate_limit{${account}}`)).toBe(100);
    expect(value(`entrepot_upstream_rate_limit_remaining{${account}}`)).toBe(99);

    // As Distribution counts them.
    const proxy = (what: string, type: string) => value(`registry_proxy_${what}_total{type="${type}"}`);
    expect(proxy('requests', 'blob')).toBe(9);
    expect(proxy('hits', 'blob')).toBe(6);
    expect(proxy('misses', 'blob')).toBe(3);
    expect(proxy('pulled_bytes', 'blob')).toBe(blobBytes);
    expect(proxy('pushed_bytes', 'blob')).toBe(3 * blobBytes);
    expect(proxy('requests', 'manifest')).toBe(6);
    expect(proxy('hits', 'manifest')).toBe(4);
    expect(proxy('misses', 'manifest')).toBe(2);
    expect(proxy('pulled_bytes', 'manifest')).toBe(manifestBytes);
    expect(proxy('pushed_bytes', 'manifest')).toBe(3 * manifestBytes);
  });

  it('count the bytes of a manifest too that upstream had to send because its HEAD told no digest', async () => {
    const { upstream, v2 } = pair;
    const image = buildImage();
    upstream.push('library/alpine', '3', image);
    upstream.fault({ kind: 'manifest', method: 'HEAD' }, { headers: { 'docker-content-digest': undefined } });
    expect((await get(`${v2}/library/alpine/manifests/3`)).status).toBe(200);
    const { length } = image.manifest.bytes;
    const value = valuesOf(await scrape());
    expect(value('entrepot_fetched_bytes_total{type="manifest"}')).toBe(length);
    expect(value('registry_proxy_pulled_bytes_total{type="manifest"}')).toBe(length);
  });

  it('are there from the start, at zero: those under the five names of Distribution, and what was fetched', async () => {
    const value = valuesOf(await scrape());
    for (const what of ['requests', 'hits', 'misses', 'pulled_bytes', 'pushed_bytes']) {
      for (const type of ['blob', 'manifest']) {
        expect(value(`registry_proxy_${what}_total{type="${type}"}`)).toBe(0);
      }
    }
    expect(value('entrepot_fetched_bytes_total{type="blob"}')).toBe(0);
    expect(value('entrepot_fetched_bytes_total{type="manifest"}')).toBe(0);
  });

  it('have labels from closed sets: no request, however absurd, makes a new one', async () => {
    const { mirror, v2 } = pair;
    const methods = ['PROPFIND', 'MKCOL', 'SEARCH', 'LINK', 'PURGE', 'OPTIONS', 'TRACE'];
    for (const method of methods) await request(`${v2}/`, { method });
    for (const round of [1, 2, 3]) {
      for (const path of ['/nowhere', '/v2/x', '/v2/name/uploads', '/v2/NAME/manifests/1', '/metrics']) {
        await get(`${mirror.url}${path}/${round}?q=${round}`);
      }
      const digest = `sha256:${randomBytes(round, 32).toString('hex')}`;
      await get(`${v2}/library/name-${round}/blobs/${digest}`);
      await get(`${v2}/library/name-${round}/manifests/tag-${round}?ns=host-${round}.example`);
      await get(`${v2}/library/name-${round}/tags/list`, { headers: { 'user-agent': `agent-${round}` } });
    }
    const allowed: Record<string, RegExp> = {
      route: /^(ping|catalog|manifest|blob|tags|referrers|none)$/,
      method: /^(GET|HEAD|PUT|POST|PATCH|DELETE|other)$/,
      status: /^[1-5]\d\d$/,
      source: /^(hit|miss|joined|revalidated|stale|none)$/,
      type: /^(blob|manifest)$/,
      // Of upstream's answers, and of garbage collections.
      kind: /^(manifest|blob|tags|referrers|token|major|minor|incremental|weakcb)$/,
      outcome: /^([1-5]\d\d|[a-z-]+)$/,
      cause: /^[a-z-]+$/,
      space: /^[a-z_]+$/,
      node_version: /^v\d+\.\d+\.\d+$/,
      major: /^\d+$/,
      minor: /^\d+$/,
      patch: /^\d+$/,
      upstream: /^127\.0\.0\.1:\d+$/,
      version: /^(0\.0\.0-test|v\d+\.\d+\.\d+)$/,
      part: /^(index|blobs|spool)$/,
      reason: /^[a-z-]+$/,
      host: /^127\.0\.0\.1:\d+$/,
      le: /^([\d.]+|\+Inf)$/,
      percentile: /^(50|99|100)$/,
    };
    for (const [name, { samples }] of await scrape()) {
      for (const { labels } of samples) {
        for (const [label, text] of Object.entries(labels)) {
          expect(text, `${label} of ${name}`).toMatch(allowed[label] ?? /no such label/);
        }
      }
    }
  });
});

function valuesOf(families: ReadonlyMap<string, { readonly samples: readonly Sample[] }>) {
  const values = new Map(
    [...families.values()].flatMap(({ samples }) => samples.map((s) => [s.key, s.value])),
  );
  return (key: string): number | undefined => values.get(key);
}
