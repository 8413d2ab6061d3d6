/** The programs that the end-to-end tests run, where Debian keeps each, and a refusal to start without one. */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Program to Debian package. */
const REQUIRED: Readonly<Record<string, string>> = {
  buildah: 'buildah',
  containerd: 'containerd',
  'containerd-shim-runc-v2': 'containerd',
  ctr: 'containerd',
  curl: 'curl',
  debootstrap: 'debootstrap',
  docker: 'docker.io',
  'docker-compose': 'docker-compose',
  'docker-registry': 'docker-registry',
  dockerd: 'docker.io',
  ip: 'iproute2',
  nginx: 'nginx-light',
  nsenter: 'util-linux',
  podman: 'podman',
  runc: 'runc',
  setpriv: 'util-linux',
  skopeo: 'skopeo',
  'systemd-analyze': 'systemd',
  tar: 'tar',
  unshare: 'util-linux',
};

/** Debian's folders go first: another docker client may stand before Debian's on the caller's path. */
export const PROGRAM_PATH = [
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
  ...(process.env['PATH'] ?? '').split(delimiter),
].join(delimiter);

async function isInstalled(program: string): Promise<boolean> {
  const places = PROGRAM_PATH.split(delimiter).filter((folder) => folder !== '');
  const found = await Promise.allSettled(
    places.map((folder) => access(join(folder, program), constants.X_OK)),
  );
  return found.some((result) => result.status === 'fulfilled');
}

/** Throws one message that names everything that is missing. */
export async function requirePrograms(): Promise<void> {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root: daemons, namespaces and mounts need it');
  for (const [program, debianPackage] of Object.entries(REQUIRED)) {
    if (!(await isInstalled(program))) missing.push(`${program} (Debian package ${debianPackage})`);
  }
  if (missing.length > 0) {
    throw new Error(`The end-to-end tests need what is not here:\n  ${missing.join('\n  ')}`);
  }
}
