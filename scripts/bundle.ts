/**
 * Bundles the programs of src/ with most of the packages that they use. It is for memory: without it an idle mirror
 * takes 20 MB more, for sources that are kept twice and the garbage of loading 500 modules. Nothing is minified, so that
 * a stack trace reads as one of the sources does.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { rolldown, type Plugin } from 'rolldown';

const ROOT = join(import.meta.dirname, '..');
const PACKAGES = join(ROOT, 'node_modules');

/** What is started by its file: the command, and what it runs beside itself. */
const PROGRAMS: readonly string[] = [
  'main',
  'worker',
  'metadata/sqlite-check-process',
  'metadata/sqlite-checkpoint-thread',
];

/** In place of modules of which next to nothing is used. */
const REPLACEMENTS: Readonly<Record<string, string>> = {
  // All of it brings fetch, WebSocket, caches and mocks along. This much of its index.js is used; a name that is missing
  // fails the build.
  undici: [
    `import api from ${inPackage('undici/lib/api/index.js')};`,
    `import Dispatcher from ${inPackage('undici/lib/dispatcher/dispatcher.js')};`,
    `export { default as Agent } from ${inPackage('undici/lib/dispatcher/agent.js')};`,
    `export { default as buildConnector } from ${inPackage('undici/lib/core/connect.js')};`,
    `export { default as errors } from ${inPackage('undici/lib/core/errors.js')};`,
    'Object.assign(Dispatcher.prototype, api);',
  ].join('\n'),
  // All public suffixes, wanted when a registry first sends us to another host for a token.
  tldts: [
    "import { createRequire } from 'node:module';",
    'let loaded;',
    "export const getDomain = (...args) => (loaded ??= createRequire(import.meta.url)('tldts')).getDomain(...args);",
  ].join('\n'),
  // Connections to upstreams are HTTP/1.1; undici does without where Node.js has none.
  'node:http2': 'module.exports = { constants: {} };',
  // Express exports it, and nobody here reads a body; with it come the tables of all encodings, 0.5 MB.
  'body-parser': 'module.exports = {};',
  // An ES module that imports it gets all it exports, and so a second undici, 5 MB, for its WebSocket.
  'node:http': "module.exports = process.getBuiltinModule('node:http');",
};

/** @returns the files of all modules that are in it */
export async function bundle(source: string, target: string): Promise<readonly string[]> {
  const build = await rolldown({
    input: Object.fromEntries(PROGRAMS.map((name) => [name, join(source, `${name}.ts`)])),
    platform: 'node',
    // What is installed beside it: native code, and what is seldom needed and then loaded.
    external: [/^node:/, ...installedPackages()],
    plugins: [replaceModules(), parseJson(), keepPlaces(source)],
    onLog: refuseWarnings,
  });
  const { output } = await build.write({
    dir: target,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    sourcemap: true,
    comments: false,
    // One character beyond Latin-1, and V8 keeps all of it in two bytes for each.
    charset: 'ascii',
  });
  await build.close();
  return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
}

/** The modules of the web page as one: thirty of them would be asked for one by one, over whatever line there is. */
export async function bundlePage(source: string, target: string): Promise<void> {
  // Its tsconfig is for checking types alone, and stands on one that is not there where an image is built.
  const build = await rolldown({
    ...{ input: join(source, 'main.js'), platform: 'browser', tsconfig: false },
    onLog: refuseWarnings,
  });
  await build.write({ dir: target, format: 'esm', entryFileNames: '[name].js', minify: true });
  await build.close();
}

function refuseWarnings(level: string, { message }: { readonly message: string }): void {
  if (level === 'warn') throw new Error(message);
}

function installedPackages(): readonly string[] {
  const text = readFileSync(join(ROOT, 'package.json'), 'utf8');
  return Object.keys((JSON.parse(text) as { dependencies: Record<string, string> }).dependencies);
}

function replaceModules(): Plugin {
  const PREFIX = '\0replaced:';
  return {
    name: 'replace-modules',
    resolveId: (specifier) => (specifier in REPLACEMENTS ? PREFIX + specifier : undefined),
    load: (id) => (id.startsWith(PREFIX) ? REPLACEMENTS[id.slice(PREFIX.length)] : undefined),
  };
}

/** A table that is parsed as JSON costs a fraction of one that is compiled as code. */
function parseJson(): Plugin {
  return {
    name: 'parse-json',
    transform: {
      filter: { id: /\.json$/ },
      handler: (code) => ({
        code: `module.exports = JSON.parse(${JSON.stringify(JSON.stringify(JSON.parse(code)))});`,
        moduleType: 'js',
        map: null,
      }),
    },
  };
}

/** A module that asks where it lies is told where it would lie if each were a file of its own, beside what it reads. */
function keepPlaces(source: string): Plugin {
  return {
    name: 'keep-places',
    transform: {
      filter: { id: /\.ts$/, code: /\bimport\.meta\b/ },
      handler: (code, id) => {
        const place = relative(source, id).split(sep).join('/').replace(/\.ts$/, '.js');
        const told = code
          .replaceAll(/\bimport\.meta\.url\b/g, `new URL(${JSON.stringify(place)}, import.meta.url).href`)
          .replaceAll(/\bimport\.meta\.filename\b/g, `(import.meta.dirname + ${JSON.stringify(`/${place}`)})`)
          .replaceAll(
            /\bimport\.meta\.dirname\b(?! \+)/g,
            `(import.meta.dirname + ${JSON.stringify(`/${dirname(place)}`)})`,
          );
        // Every line stays where it is.
        return { code: told, map: null };
      },
    },
    generateBundle: (_options, files) => {
      for (const file of Object.values(files)) {
        const isElsewhere = file.type === 'chunk' && file.fileName.includes('/');
        if (isElsewhere && /\bimport\.meta\b/.test(file.code)) {
          throw new Error(`${file.fileName} asks where it lies, and only what lies at the top is told right`);
        }
      }
    },
  };
}

function inPackage(path: string): string {
  return JSON.stringify(join(PACKAGES, path));
}
