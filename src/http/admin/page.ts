/** The web page: the files of src/ui, from memory, by a table of their names that is made once. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where they are unless told otherwise. */
export const PAGE_DIRECTORY = fileURLToPath(new URL('../../ui', import.meta.url));

/** What of a directory is served at all. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const HEADERS: Readonly<Record<string, string>> = {
  // Asked for each time, and answered with 304: a new version shows at once.
  'Cache-Control': 'no-cache',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

interface PageFile {
  readonly bytes: Buffer;
  readonly type: string;
  readonly etag: string;
}

export class StaticPage {
  readonly #directory: string;
  #files: Promise<ReadonlyMap<string, PageFile>> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Answers where a file of the page is asked for, and says whether it did. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const [path = ''] = (request.url ?? '').split('?', 1);
    const file = (await this.#read()).get(path);
    if (!file || (request.method !== 'GET' && request.method !== 'HEAD')) return false;
    response.setHeaders(new Map(Object.entries({ ...HEADERS, ETag: file.etag })));
    if (request.headers['if-none-match'] === file.etag) {
      response.statusCode = 304;
      response.end();
      return true;
    }
    response.setHeader('Content-Type', file.type);
    response.setHeader('Content-Length', file.bytes.length);
    response.end(request.method === 'HEAD' ? undefined : file.bytes);
    return true;
  }

  async #read(): Promise<ReadonlyMap<string, PageFile>> {
    this.#files ??= readPage(this.#directory);
    try {
      return await this.#files;
    } catch (error) {
      this.#files = undefined;
      throw error;
    }
  }
}

async function readPage(directory: string): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const name of await readdir(directory)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const bytes = await readFile(join(directory, name));
    const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
    files.set(name === 'index.html' ? '/' : `/${name}`, { bytes, type, etag });
  }
  return files;
}
