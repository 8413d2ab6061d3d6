/** Writes docs/configuration.md from the one schema: `node scripts/config-reference.ts`. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { configSchema } from '../src/config/schema.ts';
import { settingsOf, type Setting } from '../src/config/setting.ts';

const FILE = fileURLToPath(new URL('../docs/configuration.md', import.meta.url));

const INTRODUCTION = `# Configuration

<!-- Written by scripts/config-reference.ts from src/config/schema.ts: change that, and run the script. -->

Every setting has a default, so an empty configuration mirrors Docker Hub. Settings come from a YAML file, which
\`ENTREPOT_CONFIG\` or \`--config\` names, and from environment variables, which go over the file. An empty variable is
as good as none. \`entrepot config\` shows what is in effect, with secrets masked.

With a mistake the mirror does not start; one message names all of them, with where each is and what was expected.
Unknown keys and unknown \`ENTREPOT_*\` variables are mistakes too, except those that Kubernetes makes of Services.

- **Durations** have a unit: \`500ms\`, \`60s\`, \`5m\`, \`24h\`, \`7d\`. Only \`0\` needs none.
- **Sizes** are in powers of 1024 (\`40GiB\`, \`512MiB\`) or of 1000 (\`500MB\`); a number alone is bytes.
- **Paths** are relative to the working directory.
- **Lists** are separated by commas in a variable.

An example with comments is [deploy/entrepot.yaml](../deploy/entrepot.yaml).
`;

const UPSTREAMS = `## Upstreams

\`upstreams\` is a list. The first is the default: it answers requests that name no registry. The others answer for
their \`namespaces\`, whether those come as \`?ns=\` (containerd, BuildKit) or as a path prefix
(\`/v2/ghcr.io/...\` and \`/ghcr.io/v2/...\`). A prefix hides repositories of the default upstream that begin with the
same component, so one with a dot or a port is best. The variables set fields of the first upstream.

\`\`\`yaml
upstreams:
  - url: https://registry-1.docker.io
  - url: https://ghcr.io
  - url: https://registry.example.com:5000
    username: mirror
    passwordFile: /run/secrets/registry-password
\`\`\`
`;

/** The text of docs/configuration.md. */
export async function renderReference(): Promise<string> {
  const settings = settingsOf(configSchema(() => ''));
  const ofUpstream = (setting: Setting) => setting.path.startsWith('upstreams');
  const text = [
    INTRODUCTION,
    '## Settings',
    ...settings.filter((setting) => !ofUpstream(setting)).map(render),
    UPSTREAMS,
    ...settings.filter(ofUpstream).map(render),
  ].join('\n\n');
  return format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' });
}

function render(setting: Setting): string {
  const fallback =
    setting.defaultNote ?? (setting.default === undefined ? undefined : `\`${setting.default}\``);
  const facts = [
    setting.env && `Variable: \`${setting.env}\``,
    `Default: ${fallback ?? 'none'}`,
    `Takes: ${setting.expected}`,
  ];
  const list = facts.filter(Boolean).map((fact) => `- ${fact}`);
  return `### \`${setting.path}\`\n\n${setting.description}\n\n${list.join('\n')}`;
}

if (import.meta.main) await writeFile(FILE, await renderReference());
