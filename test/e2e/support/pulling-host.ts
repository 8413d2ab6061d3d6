/** What the end-to-end tests ask of every client: to pull through the mirror, and to show that all of it arrived. */
import type { CatalogImage } from './catalog.ts';
import type { Mirror } from './mirror.ts';
import type { Workspace } from './workspace.ts';

/** A machine that has pulled nothing yet; disposal ends and forgets it. */
export interface PullingHost extends AsyncDisposable {
  pull(image: CatalogImage): Promise<void>;
  /** Throws where anything of a pulled image is not as it was built. */
  check(image: CatalogImage): Promise<void>;
}

export type OpenHost = (workspace: Workspace, mirror: Mirror) => Promise<PullingHost>;

let opened = 0;

/** A name that no other host of this test file has; short, since a socket's path may have 108 characters. */
export function hostName(client: string): string {
  opened += 1;
  return `${client}-${opened}`;
}

/** For the output of a check that ran in a container. */
export function mustBeEmpty(image: CatalogImage, output: string): void {
  if (output.trim() !== '') throw new Error(`${image.repository} is not as built:\n${output}`);
}
