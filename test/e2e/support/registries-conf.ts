/** The configuration by which podman, buildah and skopeo take images of Docker Hub from the mirror. */
import { writeFile } from 'node:fs/promises';
import type { Mirror } from './mirror.ts';

export async function writeRegistriesConf(file: string, mirror: Mirror): Promise<void> {
  const conf = `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "${mirror.address}"
insecure = true
`;
  await writeFile(file, conf);
}
