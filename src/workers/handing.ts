/** What the keeper's answers tell a worker alone: that they may be given again, and which bytes of a file to send. */
import { once } from 'node:events';
import type { Deliver, Delivery } from '../http/delivery.ts';
import { setPart } from '../http/delivery.ts';
import type { AnswerKeeper } from '../http/hot-answers.ts';
import type { Keepable } from './answering.ts';
import { passedOnBy } from './keeper-server.ts';
import { HEADERS } from './messages.ts';
import type { SharedRecords } from './shared-records.ts';

/** What may be given again, the worker keeps. */
export const tellingWorkers: AnswerKeeper = {
  begin: () => (response, target, answer) => {
    const keepable: Keepable = { target, answer };
    response.setHeader(HEADERS.keep, JSON.stringify(keepable));
  },
};

/** Has the worker that asks send a stored blob from its file. */
export function handedToWorkers(records: SharedRecords): Deliver {
  return (delivery) =>
    delivery.request.headers[HEADERS.file] === undefined ? undefined : hand(delivery, records);
}

async function hand({ request, response, size, range }: Delivery, records: SharedRecords): Promise<void> {
  if (range) setPart(response, range, size);
  const { start, end } = range ?? { start: 0, end: size };
  response.setHeader(HEADERS.file, `${start}-${end}`);
  response.flushHeaders();
  // Or it is gone itself.
  const gone = once(response, 'close');
  await Promise.race([records.ended(passedOnBy(request).id), gone]);
  response.end();
}
