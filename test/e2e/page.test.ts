/** The web page as a person meets it, in a real Chromium before a real mirror: what it shows, and as it happens. */
import { describe, expect, it } from 'vitest';
import { get, open } from '../support/http.ts';
import { buildImage, buildIndex, randomBytes } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';
import { haveApp, pull, useBrowser } from './support/page-mirror.ts';

const MIB = 1024 * 1024;
const given = useMirror();
const browser = useBrowser();

describe('the page of a mirror that has nothing yet', () => {
  it('loads from the mirror alone, without a complaint, and says how to point clients at it', async () => {
    const { mirror } = given;
    await using opened = await browser.open(mirror.adminUrl);
    const { page, complaints, origins } = opened;

    await page.getByText('Nothing is cached yet.').waitFor();
    await page.getByText('All is well').waitFor();
    const snippet = page.locator('#catalog').getByText('"registry-mirrors"');
    expect(await snippet.textContent()).toContain(`"${mirror.url}"`);
    expect([...origins]).toEqual([mirror.adminUrl]);
    expect(complaints).toEqual([]);
  });

  it('says that the mirror is gone', async () => {
    const { mirror } = given;
    await using opened = await browser.open(mirror.adminUrl);
    await opened.page.getByText('All is well').waitFor();

    await mirror.close();

    await opened.page.getByText('The connection to the mirror is lost').waitFor();
  });
});

describe('the page after pulls', () => {
  it('shows what was saved, the hits, the quota and the disk, without being loaded again', async () => {
    const { upstream, mirror } = given;
    const image = buildImage({ layers: [randomBytes('saved', 2_000_000)] });
    upstream.push('library/app', 'v1', image);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const figure = (name: string) => page.locator('.figure').filter({ hasText: name });
    await page.getByText('Nothing is cached yet.').waitFor();

    await pull(mirror, 'library/app', 'v1', image);
    // Until then a client is given what comes in, which is no hit.
    await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(2);
    for (let time = 0; time < 3; time += 1) await pull(mirror, 'library/app', 'v1', image);

    // Three requests four times, and all but the first three from the cache.
    await figure('Hit ratio').getByText('75%', { exact: true }).waitFor();
    await figure('Hit ratio').getByText('9 of 12 requests').waitFor();
    await figure('Bytes saved').getByText('6 MB', { exact: true }).waitFor();
    await figure('Pull quota left').getByText('99', { exact: true }).waitFor();
    await figure('Disk used').getByText('2 MB', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'library/app' }).waitFor();
    await page
      .locator('#client-list')
      .getByRole('row', { name: /127\.0\.0\.1/ })
      .waitFor();
  });

  it('finds a repository by a part of its name', async () => {
    const { upstream, mirror } = given;
    for (const name of ['library/alpha', 'library/beta', 'owner/alphabet']) {
      upstream.push(name, 'v1', buildImage({ seed: name }));
      await get(`${mirror.url}/v2/${name}/manifests/v1`);
    }
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const links = page.locator('#catalog-view tbody a');
    await expect
      .poll(() => links.allTextContents())
      .toEqual(['library/alpha', 'library/beta', 'owner/alphabet']);

    await page.getByRole('searchbox').fill('alpha');
    await expect.poll(() => links.allTextContents()).toEqual(['library/alpha', 'owner/alphabet']);

    await page.getByRole('searchbox').fill('nowhere');
    await page.getByText('No cached repository has “nowhere” in its name.').waitFor();
  });

  it('opens a repository, its tag, and the manifest of a platform, with who shares its layers', async () => {
    const { upstream, mirror } = given;
    const shared = randomBytes('shared', 50_000);
    const amd64 = buildImage({ layers: [shared], seed: 'amd64' });
    const index = buildIndex([{ image: amd64, platform: { os: 'linux', architecture: 'amd64' } }]);
    upstream.push('library/multi', 'v2', index);
    const other = buildImage({ layers: [shared], seed: 'other' });
    upstream.push('library/other', 'v1', other);
    await pull(mirror, 'library/multi', 'v2', index);
    await pull(mirror, 'library/other', 'v1', other);
    await using opened = await browser.open(mirror.adminUrl);
    const { page, complaints } = opened;

    await page.getByRole('link', { name: 'library/multi' }).click();
    await page.getByRole('cell', { name: 'linux/amd64' }).waitFor();
    await page.getByRole('link', { name: 'v2' }).click();
    await page.getByRole('heading', { name: 'library/multi:v2' }).waitFor();
    await page.getByRole('link', { name: 'linux/amd64' }).click();
    await page.getByText(amd64.manifest.digest).waitFor();
    await page.getByRole('cell', { name: 'in 2 repositories' }).waitFor();
    await page.getByRole('cell', { name: '50 kB' }).waitFor();

    await page.goBack();
    await page.getByRole('heading', { name: 'library/multi:v2' }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('turns the pages of a long list, and comes back to the one that was left', async () => {
    const { upstream, mirror } = given;
    const image = buildImage();
    for (let number = 10; number < 36; number += 1) {
      upstream.push(`team-${number}/app`, 'v1', image);
      await get(`${mirror.url}/v2/team-${number}/app/manifests/v1`);
    }
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const links = page.locator('#catalog-view tbody a');
    await expect.poll(() => links.count()).toBe(25);
    const next = page.getByRole('button', { name: 'Next' });
    await next.focus();
    await page.keyboard.press('Enter');
    await page.getByText('Page 2').waitFor();
    expect(await links.allTextContents()).toEqual(['team-35/app']);
    expect(await next.isDisabled()).toBe(true);
    // What had the focus can't keep it.
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Previous');

    await links.first().click();
    await page.getByRole('heading', { name: 'team-35/app' }).waitFor();
    await page.locator('.skip').focus();
    await page.keyboard.press('Enter');
    expect(await page.evaluate('location.hash')).toBe('#/repository/team-35/app');
    await page.goBack();
    await page.getByText('Page 2').waitFor();

    await page.getByRole('button', { name: 'Purge team-35/app' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
    await expect.poll(() => links.count()).toBe(25);
  });

  it('lets a button be pressed while the list around it changes', async () => {
    const { upstream, mirror } = given;
    for (const name of ['library/app', 'library/other']) {
      upstream.push(name, 'v1', buildImage({ seed: name }));
      await get(`${mirror.url}/v2/${name}/manifests/v1`);
    }
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    await page.getByRole('button', { name: 'Purge library/app' }).hover();
    await page.mouse.down();
    upstream.push('library/third', 'v1', buildImage({ seed: 'third' }));
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.url().includes('/repositories')),
      get(`${mirror.url}/v2/library/third/manifests/v1`),
    ]);
    await answer.finished();
    // Past the microtasks that would have replaced it.
    await page.evaluate('new Promise((resolve) => setTimeout(resolve))');
    await page.mouse.up();
    await page.getByRole('dialog', { name: 'Purge library/app?' }).waitFor();
  });

  it('shows the traffic of the time that is chosen, as a chart and as a table', async () => {
    const { mirror } = given;
    await haveApp(given);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    const chart = page.getByRole('img', { name: /^Hit ratio and bytes served over the last/ });
    const table = page.getByRole('region', { name: 'Traffic as a table' });
    await page.getByText('The last 24 hours: 4 requests').waitFor();
    expect(await chart.locator('.missed').count()).toBe(1);

    await page.getByRole('radio', { name: 'the last hour' }).check();
    await page.getByText('The last hour: 4 requests').waitFor();
    expect(await chart.getAttribute('aria-label')).toContain('the last hour: 4 requests');
    await page.getByText('As a table').click();
    const rows = table.locator('tbody tr');
    const requests = async () =>
      (await rows.locator('td:nth-child(2)').allTextContents()).reduce((sum, text) => sum + Number(text), 0);
    expect(await requests()).toBe(4);

    // What is pointed at stays so when the chart is drawn anew.
    const box = await chart.boundingBox();
    await page.mouse.move(box!.x + 100, box!.y + 50);
    await page.getByText(/: nothing was asked for$/).waitFor();
    await get(`${mirror.url}/v2/library/app/manifests/v1`);
    await table.getByRole('cell', { name: '5', exact: true }).waitFor();
    await page.getByText(/: nothing was asked for$/).waitFor();
  });

  it('shows the reason of an upstream that fails', async () => {
    const { upstream, mirror } = given;
    await using opened = await browser.open(mirror.adminUrl);
    await opened.page.getByText('None since the start.').waitFor();
    await upstream.stop();

    await get(`${mirror.url}/v2/library/app/manifests/v1`);

    await opened.page.locator('#troubles .trouble').first().waitFor();
  });
});

describe('a pull, as it happens', () => {
  it('shows a bar that moves, and goes when it is over', async () => {
    const { upstream, mirror } = given;
    const digest = upstream.pushBlob('library/app', randomBytes('slow', 4 * MIB));
    const url = `${mirror.url}/v2/library/app/blobs/${digest}`;
    const early = upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    const late = upstream.hold({ kind: 'cdn' }, { afterBytes: 3 * MIB });
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    await page.getByText('Nothing is being downloaded.').first().waitFor();
    const bar = page.locator('#downloads').getByRole('progressbar');
    const share = async () => Number(await bar.getAttribute('aria-valuenow'));

    const client = await open(url);
    await early.waiting;
    await expect.poll(share).toBeGreaterThan(10);
    expect(await share()).toBeLessThan(50);
    await page.getByText('1 client waiting').waitFor();

    early.release();
    await late.waiting;
    await expect.poll(share).toBeGreaterThan(50);
    // Held up, it does not go on at the rate that it had.
    await page
      .locator('#downloads')
      .getByText(/^0 B\/s/)
      .waitFor();

    late.release();
    await client.rest();
    await bar.waitFor({ state: 'detached' });
    await page.locator('#activity-empty').waitFor();
  });
});
