/** What is done from the web page, in a real Chromium before a real mirror: it is asked about, and it happens. */
import { describe, expect, it } from 'vitest';
import { get } from '../support/http.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror } from '../support/use-mirror.ts';
import { haveApp, pull, useBrowser } from './support/page-mirror.ts';

const TOKEN = 'harbour-master-0123456789';
const given = useMirror();
const browser = useBrowser();

describe('a purge', () => {
  it('is asked about, frees the space, and has the next pull ask upstream again', async () => {
    const { upstream, mirror } = given;
    const image = await haveApp(given);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const purge = page.getByRole('button', { name: 'Purge library/app' });

    await purge.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    expect(await page.getByRole('dialog').count()).toBe(0);
    upstream.reset();
    await pull(mirror, 'library/app', 'v1', image);
    expect(upstream.count({ kind: 'cdn' })).toBe(0);

    await purge.click();
    const dialog = page.getByRole('dialog', { name: 'Purge library/app?' });
    await dialog.getByText('1 tag').waitFor();
    await dialog.getByRole('button', { name: 'Purge' }).click();
    await page
      .getByRole('status')
      .getByText(/^Freed .*: 1 tag, 1 manifest, 3 blobs\.$/)
      .waitFor();
    await page.getByText('Nothing is cached yet.').waitFor();
    await pull(mirror, 'library/app', 'v1', image);
    expect(upstream.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
    expect(upstream.count({ kind: 'cdn' })).toBe(3);
  });

  it('is done with the keyboard alone, and Escape does nothing but close the question', async () => {
    const { mirror } = given;
    await haveApp(given);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    await page.getByRole('link', { name: 'library/app' }).waitFor();
    const focused = () =>
      page.evaluate('document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()');
    const tabTo = async (name: string) => {
      for (let step = 0; step < 60; step += 1) {
        await page.keyboard.press('Tab');
        if ((await focused()) === name) return;
      }
      throw new Error(`no number of tabs leads to ${name}`);
    };

    await tabTo('Purge library/app');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await focused()).toBe('Purge library/app');

    await page.keyboard.press('Enter');
    // Enter by habit must not be a yes.
    await expect.poll(focused).toBe('Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');

    await page.getByText('Nothing is cached yet.').waitFor();
  });
});

describe('other changes', () => {
  it('prefetches what was entered, for one platform, and shows each blob', async () => {
    const { upstream, mirror } = given;
    const amd64 = buildImage({ seed: 'amd64' });
    const arm64 = buildImage({ seed: 'arm64', architecture: 'arm64' });
    const index = buildIndex([
      { image: amd64, platform: { os: 'linux', architecture: 'amd64' } },
      { image: arm64, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    upstream.push('library/multi', 'v2', index);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;

    await page.getByRole('button', { name: 'Prefetch …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Prefetch images' });
    await dialog.getByLabel('References').fill('library/multi:v2');
    await dialog.getByLabel('Platforms').fill('linux/arm64');
    await dialog.getByText('Fetches 1 reference for linux/arm64').waitFor();
    await dialog.getByRole('button', { name: 'Prefetch' }).click();

    await page.locator('#jobs').getByText('done', { exact: true }).waitFor();
    expect(await page.locator('#jobs .blob').count()).toBe(3);
    await page.getByRole('link', { name: 'library/multi' }).waitFor();
    await upstream.stop();
    expect((await get(`${mirror.url}/v2/library/multi/blobs/${arm64.config.digest}`)).status).toBe(200);
  });

  it('cancels a prefetch that upstream keeps waiting', async () => {
    const { upstream, mirror } = given;
    upstream.push('library/app', 'v1', buildImage());
    const gate = upstream.hold({ kind: 'manifest' });
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;

    await page.getByRole('button', { name: 'Prefetch …' }).click();
    await page.getByLabel('References').fill('library/app:v1');
    await page.getByRole('dialog').getByRole('button', { name: 'Prefetch' }).click();
    await page.getByRole('button', { name: 'Cancel the prefetch' }).click();

    await page.locator('#jobs').getByText('cancelled', { exact: true }).waitFor();
    gate.release();
  });

  it('pins a tag and lets it go', async () => {
    const { mirror } = given;
    await haveApp(given);
    await using opened = await browser.open(`${mirror.adminUrl}/#/repository/library/app`);
    const { page } = opened;

    await page.getByRole('button', { name: 'Pin library/app:v1' }).click();
    await page.locator('#pins').getByRole('link', { name: 'library/app:v1' }).waitFor();

    await page.getByRole('button', { name: 'Unpin library/app:v1', exact: true }).click();
    await page.locator('#pins').getByText('Nothing is.').waitFor();
  });

  it('switches the mirror offline and on again', async () => {
    const { upstream, mirror } = given;
    upstream.push('library/app', 'v1', buildImage());
    const url = `${mirror.url}/v2/library/app/manifests/v1`;
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const offline = page.getByRole('switch', { name: 'Offline' });

    await offline.click();
    await page.getByText('Offline: serving what is cached').waitFor();
    expect(await offline.getAttribute('aria-checked')).toBe('true');
    expect((await get(url)).status).not.toBe(200);
    expect(upstream.count({ kind: 'manifest' })).toBe(0);

    await offline.click();
    await page.getByText('All is well').waitFor();
    expect((await get(url)).status).toBe(200);
  });
});

describe('access', () => {
  it('asks for the token when a change wants it, says when it is wrong, and keeps the right one', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_ADMIN_TOKEN: TOKEN },
    });
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const dialog = page.getByRole('dialog', { name: 'This mirror wants a token' });
    const enter = async (token: string) => {
      await dialog.getByLabel('Admin token').fill(token);
      await dialog.getByRole('button', { name: 'Use this token' }).click();
    };
    await page.getByText('All is well').waitFor();

    await page.getByRole('switch').click();
    await enter('not-the-harbour-master');
    await dialog.getByText('The mirror does not accept that token.').waitFor();
    await enter(TOKEN);
    await page.getByText('Offline: serving what is cached').waitFor();

    await page.reload();
    await page.getByText('Offline: serving what is cached').waitFor();
    await page.getByRole('switch').click();
    await page.getByText('All is well').waitFor();
    expect(await dialog.count()).toBe(0);
  });

  it('shows nothing where reads want the token, until it is entered', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_ADMIN_LISTEN: '0.0.0.0:0', ENTREPOT_ADMIN_TOKEN: TOKEN },
    });
    await using opened = await browser.open(`http://127.0.0.1:${new URL(mirror.adminUrl).port}/`);
    const { page } = opened;

    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('The mirror wants a token before it shows anything.').waitFor();
    expect(await page.getByText('All is well').count()).toBe(0);

    await page.getByRole('button', { name: 'Enter the token' }).click();
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await page.getByText('All is well').waitFor();
  });

  it('has no button that works where changes are refused, and says why', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_ADMIN_LISTEN: '0.0.0.0:0' },
    });
    await using opened = await browser.open(`http://127.0.0.1:${new URL(mirror.adminUrl).port}/`);
    const { page } = opened;

    await page.getByText('Changes are switched off').waitFor();
    for (const name of ['Prefetch …', 'Evict …', 'Scrub', 'Check index', 'Purge everything …']) {
      const button = page.getByRole('button', { name });
      expect(await button.isDisabled()).toBe(true);
      expect(await button.getAttribute('title')).toContain('admin.token');
    }
    expect(await page.getByRole('switch').isDisabled()).toBe(true);
  });
});
