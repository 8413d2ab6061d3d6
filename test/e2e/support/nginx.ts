/** A real nginx, for the length of a test. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from '../../support/command.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** @param http what is in the `http` block, beside the places of its temporary files */
export async function startNginx(stack: AsyncDisposableStack, http: string): Promise<void> {
  const { path } = stack.use(await tempDir());
  // Its processes are another user's.
  await chmod(path, 0o755);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  await writeFile(
    join(path, 'nginx.conf'),
    `daemon off; pid ${path}/nginx.pid; error_log stderr info; worker_processes 1;
     events {}
     http {
       access_log off; ${places.map((place) => `${place}_temp_path ${path}/${place};`).join(' ')}
       ${http}
     }`,
  );
  const nginx = new Command(['/usr/sbin/nginx', '-e', 'stderr', '-p', path, '-c', join(path, 'nginx.conf')], {
    cwd: path,
  });
  stack.defer(async () => {
    nginx.kill('SIGTERM');
    await nginx.exited;
  });
  await nginx.until('start worker process ');
}
