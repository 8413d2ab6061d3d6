/** One mirror of several scripted upstreams, which only a configuration file can set up. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startMirror, type RunningMirror } from './mirror.ts';
import { ScriptedUpstream } from './scripted-upstream.ts';
import { tempDir } from './temp-dir.ts';

export interface Several<Name extends string> extends AsyncDisposable {
  readonly upstreams: Readonly<Record<Name, ScriptedUpstream>>;
  readonly mirror: RunningMirror;
}

/** @param namespaces of each, separated by commas; the first upstream is the default */
export async function startSeveral<Name extends string>(
  namespaces: Readonly<Record<Name, string>>,
): Promise<Several<Name>> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const upstreams = {} as Record<Name, ScriptedUpstream>;
  const lines = ['upstreams:'];
  for (const [name, names] of Object.entries(namespaces) as [Name, string][]) {
    upstreams[name] = stack.use(await ScriptedUpstream.start());
    lines.push(`  - url: ${upstreams[name].url}`, `    namespaces: [${names}]`);
  }
  const file = join(dir.path, 'entrepot.yaml');
  await writeFile(file, lines.join('\n'));
  const [{ url }] = Object.values(upstreams) as [ScriptedUpstream];
  const mirror = stack.use(await startMirror({ upstreamUrl: url, env: { ENTREPOT_CONFIG: file } }));
  const started = stack.move();
  return { upstreams, mirror, [Symbol.asyncDispose]: () => started.disposeAsync() };
}
