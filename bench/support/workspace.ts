/** Where the benchmark keeps what it needs for a while: one directory, gone when the process exits. */
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let root: string | undefined;

/** Empty, and nobody else's. */
export async function freshDirectory(name: string): Promise<string> {
  return mkdtemp(join(workspace(), `${name}-`));
}

/** Gives its room back before the end. */
export async function removeDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/** All of it. Done by itself when the process exits, unless it is killed. */
export function removeWorkspace(): void {
  if (root !== undefined) rmSync(root, { recursive: true, force: true, maxRetries: 3 });
  root = undefined;
}

function workspace(): string {
  root ??= mkdtempSync(join(tmpdir(), 'entrepot-bench-'));
  return root;
}

process.on('exit', removeWorkspace);
