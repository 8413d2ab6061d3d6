/** The web page for whoever reads it: a phone, the dark, a screen reader; axe and the width of the page tell. */
import { AxeBuilder } from '@axe-core/playwright';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { get } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';
import { pull, useBrowser } from './support/page-mirror.ts';

const LONG_NAME = 'owner/a-repository-with-quite-a-long-name-that-goes-on/and-on-and-on-and-on';
const PHONE = { viewport: { width: 360, height: 740 } };
const given = useMirror();
const browser = useBrowser();

const READERS: readonly [string, BrowserContextOptions][] = [
  ['in the light', { colorScheme: 'light' }],
  ['in the dark', { colorScheme: 'dark' }],
  ['on a phone', { ...PHONE, colorScheme: 'light' }],
];
const VIEWS: readonly [string, string, string][] = [
  ['the first view', '/', LONG_NAME],
  ['a repository', `/#/repository/${LONG_NAME}`, 'All manifests'],
  ['a manifest', `/#/manifest/${LONG_NAME}:v1`, 'Media type'],
];

beforeEach(async () => {
  const { upstream, mirror } = given;
  const image = buildImage({ layers: [randomBytes('wide', 300_000)] });
  upstream.push(LONG_NAME, 'v1', image);
  await pull(mirror, LONG_NAME, 'v1', image);
  // An error with a reason belongs to what is looked at.
  await upstream.stop();
  await get(`${mirror.url}/v2/library/away/manifests/v1`);
});

async function findingsOf(page: Page): Promise<readonly string[]> {
  // In every page that is looked at, axe has to run in it: legacy mode needs no page of its own.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

describe.each(READERS)('%s', (_reader, options) => {
  it.each(VIEWS)(
    'axe finds nothing serious in %s, and nothing stands out sideways',
    async (_view, path, text) => {
      await using opened = await browser.open(given.mirror.adminUrl + path, options);
      const { page, complaints } = opened;
      await page.locator('#catalog-view').getByText(text).first().waitFor();
      await page.locator('#troubles .trouble').first().waitFor();
      await page.locator('#history svg').waitFor();

      expect(await findingsOf(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
      expect(complaints).toEqual([]);
    },
  );

  it('axe finds nothing serious in a question', async () => {
    await using opened = await browser.open(given.mirror.adminUrl, options);
    const { page } = opened;
    await page.getByRole('button', { name: `Purge ${LONG_NAME}` }).click();
    await page.getByRole('dialog').waitFor();
    expect(await findingsOf(page)).toEqual([]);
  });
});

it('is dark where it was switched to dark, the next time too', async () => {
  await using opened = await browser.open(given.mirror.adminUrl, { colorScheme: 'light' });
  const { page } = opened;
  const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
  const light = await ground();
  await page.getByLabel('Theme').selectOption('Dark');
  await expect.poll(ground).not.toBe(light);
  await page.reload();
  await expect.poll(ground).not.toBe(light);
});
