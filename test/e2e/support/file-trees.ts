/** The real files that the images are made from. */
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

/** Chosen for their size, and for busybox, which the small images are made of. */
const PACKAGES = ['busybox-static', 'perl', 'python3-minimal'];
const APPLETS = ['cat', 'echo', 'grep', 'ls', 'sh', 'sleep', 'true'];

/** A Debian root file system of about 300 MB. */
export async function makeDebianTree(root: string): Promise<void> {
  const options = ['--variant=minbase', `--include=${PACKAGES.join(',')}`];
  await run(['debootstrap', ...options, 'bookworm', root], { timeoutMs: 280_000 });
}

export async function makeBusyboxTree(root: string, debianRoot: string): Promise<void> {
  await mkdir(join(root, 'bin'), { recursive: true });
  await copyFile(join(debianRoot, 'bin/busybox'), join(root, 'bin/busybox'));
  for (const applet of APPLETS) await symlink('busybox', join(root, 'bin', applet));
}

/** Differs between platforms in the one file that says for which it was made. */
export async function makePlatformTree(root: string, architecture: string): Promise<void> {
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(root, 'etc/platform'), `${architecture}\n`);
}
