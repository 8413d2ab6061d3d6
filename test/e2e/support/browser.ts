/** A real Chromium for the tests of the web page, and pages in it that write down what goes wrong in them. */
import { accessSync, constants } from 'node:fs';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

export async function launchBrowser(): Promise<Browser> {
  try {
    accessSync(EXECUTABLE, constants.X_OK);
  } catch (cause) {
    throw new Error(`there is no ${EXECUTABLE}: install Debian's chromium, or name another one in CHROMIUM`, {
      cause,
    });
  }
  const isRoot = process.getuid?.() === 0;
  return chromium.launch({ executablePath: EXECUTABLE, args: isRoot ? ['--no-sandbox'] : [] });
}

export interface OpenedPage extends AsyncDisposable {
  readonly page: Page;
  /** What the console said at `warning` or above, violations of the policy among them, and what was thrown. */
  readonly complaints: readonly string[];
  /** Where it asked for something. */
  readonly origins: ReadonlySet<string>;
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const origins = new Set<string>();
  page.on('console', (message) => {
    if (['warning', 'error'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => origins.add(new URL(request.url()).origin));
  await page.goto(url);
  return { page, complaints, origins, [Symbol.asyncDispose]: () => context.close() };
}
