/** What the operating system said, without the name of the call and the path that Node puts around it. */
import { getSystemErrorMessage } from 'node:util';

export function systemMessage(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : getSystemErrorMessage(errno);
}
