/** A listing that comes in pages, each of them bounded, and all of them together. */
import type { Exchange, Question } from './exchange.ts';
import { failed, headerOf, parseJson, readBody, type HttpAnswer } from './http-answer.ts';
import { nextLinkIn } from './link.ts';

const MAX_PAGES = 1000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * @param question that `first` is the answer to, and of which the other pages differ in nothing but the query
 * @throws UpstreamError, also where a page leads elsewhere or there is no end to them: half a list is none
 */
export async function* readPages(exchange: Exchange, question: Question, first: HttpAnswer): AsyncGenerator {
  let answer = first;
  let bytesLeft = MAX_BYTES;
  for (let page = 1; ; page++) {
    if (answer.status !== 200) throw exchange.refusalOf(answer);
    const bytes = await readBody(answer, Math.min(MAX_PAGE_BYTES, bytesLeft));
    bytesLeft -= bytes.length;
    yield parseJson(answer, bytes);
    const link = nextLinkIn(headerOf(answer, 'link'));
    if (link === undefined) return;
    // Only its query is used: a registry behind a proxy may not know its own scheme or host.
    const next = URL.parse(link, answer.request.url.href);
    if (!next) throw failed(answer.request, 'protocol', 'the link to the next page is no URL');
    if (page === MAX_PAGES) throw failed(answer.request, 'protocol', `more than ${MAX_PAGES} pages`);
    answer = await exchange.ask({ ...question, query: next.search });
  }
}
