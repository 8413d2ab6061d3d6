/** Before the tests: makes the native code that some of them are about, unless it is there. In CI it has to be. */
import { spawnSync } from 'node:child_process';
import { arch, env, platform } from 'node:process';
import { buildNative, isBuilt } from '../../scripts/build-native.ts';

export default function setup(): void {
  const isBuildable = platform === 'linux' && (arch === 'x64' || arch === 'arm64');
  if (!isBuildable || isBuilt()) return;
  const hasCompiler = spawnSync('cc', ['--version']).error === undefined;
  if (hasCompiler || env['CI']) buildNative();
}
