/** The web page when something is wrong: with the connection, with an answer, with what was entered or sent from outside. */
import { describe, expect, it } from 'vitest';
import { get } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { useMirror } from '../support/use-mirror.ts';
import { haveApp, pull, useBrowser } from './support/page-mirror.ts';

const MARKUP = '<img src="/x" onerror="document.title = \'taken\'">';
const given = useMirror();
const browser = useBrowser();

describe('a connection that is lost', () => {
  it('is said where the health stands, and comes back with what is there then', async () => {
    const { upstream } = given;
    await using dir = await tempDir();
    const start = (env: Record<string, string> = {}) =>
      startMirror({ upstreamUrl: upstream.url, dataDir: dir.path, env });
    const images = ['library/before', 'library/after'].map(
      (name) => [name, buildImage({ seed: name })] as const,
    );
    for (const [name, image] of images) upstream.push(name, 'v1', image);
    const [[before, first], [after, second]] = images as [(typeof images)[0], (typeof images)[0]];
    const mirror = await start();
    await pull(mirror, before, 'v1', first);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    await page.getByRole('link', { name: before }).waitFor();

    await mirror.close();
    await page.getByText('Not reached').waitFor();
    expect(await page.getByText('All is well').count()).toBe(0);
    // Nobody is there to load it from again.
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText('The connection to the mirror is lost').waitFor();
    expect(await page.getByRole('link', { name: before }).count()).toBe(1);

    await using again = await start({ ENTREPOT_ADMIN_LISTEN: new URL(mirror.adminUrl).host });
    await pull(again, after, 'v1', second);
    await page.getByText('All is well').waitFor();
    await page.getByRole('link', { name: after }).waitFor();
    expect(await page.locator('#connection').isHidden()).toBe(true);
  });

  it('is told from a mirror that answers with an error', async () => {
    const { mirror } = given;
    await using opened = await browser.open('about:blank');
    const { page } = opened;
    await page.route('**/api/v1/events', (route) =>
      route.fulfill({ status: 503, json: { error: '32 listen already' } }),
    );
    await page.goto(mirror.adminUrl);
    await page.getByText('The mirror says no: 32 listen already.').waitFor();

    await page.unroute('**/api/v1/events');
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText('All is well').waitFor();
  });
});

describe('a change that fails', () => {
  it('leaves what was to be purged where it is, and says why', async () => {
    const { mirror } = given;
    await haveApp(given);
    await using opened = await browser.open(mirror.adminUrl);
    const { page } = opened;
    await page.route('**/api/v1/purge', (route) =>
      route.fulfill({ status: 500, json: { error: 'the index cannot be written' } }),
    );
    const purge = page.getByRole('button', { name: 'Purge library/app' });

    await purge.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
    await page.locator('.notice.bad').getByText('the index cannot be written').waitFor();
    await expect.poll(() => purge.getAttribute('aria-busy')).toBe(null);

    await page.unroute('**/api/v1/purge');
    await purge.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
    await page.getByText('Nothing is cached yet.').waitFor();
  });

  it('keeps the references that were entered where the mirror does not take one of them', async () => {
    await using opened = await browser.open(given.mirror.adminUrl);
    const { page } = opened;
    const open = () => page.getByRole('button', { name: 'Prefetch …' }).click();
    await open();
    await page.getByLabel('References').fill('library/app:v1\nNo Reference:');
    await page.getByRole('dialog').getByRole('button', { name: 'Prefetch' }).click();
    await page.locator('.notice.bad').waitFor();

    await open();
    expect(await page.getByLabel('References').inputValue()).toBe('library/app:v1\nNo Reference:');
  });
});

it('says that an address makes no sense', async () => {
  await using opened = await browser.open(`${given.mirror.adminUrl}/#/repository/%E0`);
  await opened.page.getByRole('heading', { name: 'This can’t be read now.' }).waitFor();
});

it('shows markup that a client calls itself as the text that it is', async () => {
  const { mirror } = given;
  await get(`${mirror.url}/v2/library/app/manifests/v1`, { headers: { 'User-Agent': MARKUP } });
  await using opened = await browser.open(mirror.adminUrl);
  const { page, complaints } = opened;

  await page.locator('#client-list').getByText(MARKUP).waitFor();
  expect(await page.title()).toBe('Entrepôt');
  expect(complaints).toEqual([]);
});
