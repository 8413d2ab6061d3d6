/** A line of the log as a person reads it on a terminal: what happened, then what is worth knowing of it. */
import { formatSize } from '../lib/units.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Of every line; and what the message of a request's line says already. */
const SHOWN = new Set(['level', 'time', 'msg', 'err']);
const SHOWN_OF_REQUEST = new Set([
  ...[
    'requestId',
    'clientRequestId',
    'method',
    'route',
    'repository',
    'reference',
    'namespace',
    'status',
    'source',
    'aborted',
  ],
  ...['bytes', 'durationMs', 'ttfbMs', 'client', 'userAgent'],
]);

/** @param line as the log has it, parsed */
export function readableLine(line: Fields): string {
  const isRequest = typeof line['route'] === 'string';
  const known = isRequest ? requestParts(line) : [];
  // The client of one that failed was told its id.
  const isSaid = (name: string) =>
    SHOWN_OF_REQUEST.has(name) && !(name === 'requestId' && Number(line['status']) >= 400);
  const others = Object.entries(line)
    .filter(([name, value]) => value !== undefined && !SHOWN.has(name) && !(isRequest && isSaid(name)))
    .map(([name, value]) => `${name}=${asText(value)}`);
  const reason = reasonOf(line['err']);
  const first = `${asText(line['msg'] ?? '')}${reason === undefined ? '' : `: ${reason}`}`;
  const text = [first, ...known, ...others].map(printable).join('  ');
  return wantsStack(line) ? `${text}\n${stackOf(line['err'])}` : text;
}

function requestParts({ bytes, durationMs, client, userAgent }: Fields): readonly string[] {
  return [
    formatSize(Number(bytes)),
    `${String(durationMs)} ms`,
    ...[client, userAgent].filter((value) => typeof value === 'string'),
  ];
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Why, down to its first cause. */
function reasonOf(error: unknown): string | undefined {
  const messages: string[] = [];
  for (let at = error; typeof at === 'object' && at !== null; at = (at as Fields)['cause']) {
    const { message } = at as Fields;
    if (typeof message === 'string' && !messages.some((earlier) => earlier.includes(message)))
      messages.push(message);
  }
  return messages.length === 0 ? undefined : messages.join(': ');
}

/** Where it broke is worth knowing only of what should not have happened. */
function wantsStack({ level, status, err }: Fields): boolean {
  return (level === 'fatal' || status === 500) && stackOf(err) !== '';
}

function stackOf(error: unknown): string {
  const stack = typeof error === 'object' && error !== null ? (error as Fields)['stack'] : undefined;
  return typeof stack === 'string' ? stack.split('\n').map(printable).join('\n') : '';
}

/** What came from outside moves no cursor. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd');
}
