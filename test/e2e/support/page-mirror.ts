/** Pulls through a mirror in this process what its web page is then to show. */
import { beforeAll, expect } from 'vitest';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { get } from '../../support/http.ts';
import { buildImage, type Image, type Pushable } from '../../support/images.ts';
import type { RunningMirror } from '../../support/mirror.ts';
import type { Pair } from '../../support/use-mirror.ts';
import { launchBrowser, openPage, type OpenedPage } from './browser.ts';

/** As a client does: the manifest by its tag, what that points to by digest. */
export async function pull(
  mirror: RunningMirror,
  repository: string,
  tag: string,
  image: Pushable,
): Promise<void> {
  const base = `${mirror.url}/v2/${repository}`;
  expect((await get(`${base}/manifests/${tag}`)).status).toBe(200);
  for (const child of image.children) {
    expect((await get(`${base}/manifests/${child.manifest.digest}`)).status).toBe(200);
    for (const { digest } of child.blobs) expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
  }
  for (const { digest } of image.blobs) expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
}

/** Has `library/app:v1` in the cache, pulled once. */
export async function haveApp({ upstream, mirror }: Pick<Pair, 'upstream' | 'mirror'>): Promise<Image> {
  const image = buildImage();
  upstream.push('library/app', 'v1', image);
  await pull(mirror, 'library/app', 'v1', image);
  return image;
}

/** One Chromium for a file of tests; each opens pages of its own. */
export function useBrowser(): {
  readonly open: (url: string, options?: BrowserContextOptions) => Promise<OpenedPage>;
} {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launchBrowser();
    return () => browser?.close();
  });
  return {
    open: (url, options) => {
      if (!browser) throw new Error('there is a browser only while a test runs');
      return openPage(browser, url, options);
    },
  };
}
