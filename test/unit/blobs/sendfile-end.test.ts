import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { canSendfile } from '../../support/sending-server.ts';

const PROGRAM = join(import.meta.dirname, '../../support/end-while-sending.ts');

describe.skipIf(!canSendfile)('a process that ends while it sends by sendfile', () => {
  it.each(['close all', 'exit', 'terminate a thread'])('does so at once and cleanly: %s', async (way) => {
    // A crash, or a thread that is waited for in vain, rejects.
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [PROGRAM, way], {
      timeout: 20_000,
    });
    expect({ stdout, stderr }).toEqual({ stdout: 'ended\n', stderr: '' });
  });
});
