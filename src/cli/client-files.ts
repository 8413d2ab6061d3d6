/** The configuration of each kind of client: its files, in their own formats. What the mirror promises them is in README.md. */

export interface Mirrored {
  /** Where clients reach the registry, without a path. */
  readonly url: string;
  readonly registries: readonly {
    readonly url: string;
    readonly namespaces: readonly string[];
    readonly isDefault: boolean;
  }[];
}

export interface ClientFile {
  readonly file: string;
  readonly content: string;
  /** What makes the client read it. */
  readonly then?: string;
}

const DOCKER_HUB = 'docker.io';
const HOSTS_DIRECTORY = '/etc/containerd/certs.d';

export const CLIENT_FILES: Readonly<Record<string, (mirrored: Mirrored) => readonly ClientFile[]>> = {
  dockerd,
  containerd,
  podman,
  buildkit,
  k3s,
};

/** It asks mirrors for Docker Hub's images only; those of others are pulled by the mirror's own name. */
function dockerd({ url, registries }: Mirrored): readonly ClientFile[] {
  const hub = registries.find(({ namespaces }) => namespaces.includes(DOCKER_HUB));
  // dockerd says for no request which registry it means.
  const mirror = hub && !hub.isDefault ? `${url}/${DOCKER_HUB}` : url;
  const hasOthers = registries.some((registry) => registry !== hub);
  const settings = {
    ...(hub ? { 'registry-mirrors': [mirror] } : {}),
    // A mirror may speak HTTP; a registry that is named in a reference may not.
    ...(isPlain(url) && hasOthers ? { 'insecure-registries': [new URL(url).host] } : {}),
  };
  return [
    {
      file: '/etc/docker/daemon.json',
      content: `${JSON.stringify(settings, null, 2)}\n`,
      then: 'systemctl restart docker',
    },
  ];
}

function containerd({ url, registries }: Mirrored): readonly ClientFile[] {
  const config = [
    '# With version = 2 the section is [plugins."io.containerd.grpc.v1.cri".registry].',
    'version = 3',
    '',
    '[plugins."io.containerd.cri.v1.images".registry]',
    `  config_path = ${text(HOSTS_DIRECTORY)}`,
    '',
  ].join('\n');
  const hosts = namespacesOf(registries).map(({ namespace, server }) => ({
    // A colon is what some file systems can't have in a name; containerd looks there first.
    file: `${HOSTS_DIRECTORY}/${namespace.replace(/:(\d+)$/, '_$1_')}/hosts.toml`,
    content: [
      `server = ${text(server)}`,
      '',
      `[host.${text(url)}]`,
      '  capabilities = ["pull", "resolve"]',
      '',
    ].join('\n'),
  }));
  return [
    { file: '/etc/containerd/config.toml', content: config, then: 'systemctl restart containerd' },
    ...hosts,
  ];
}

/** podman, buildah, skopeo and CRI-O. They write the reference anew, and only its path can say what is meant. */
function podman({ url, registries }: Mirrored): readonly ClientFile[] {
  const { host } = new URL(url);
  const entries = namespacesOf(registries).map(({ namespace, server, path }) => {
    if (path === undefined) {
      return `# ${namespace}: its port can't stand in a path; give it another name too, in namespaces of this upstream.\n`;
    }
    return [
      '[[registry]]',
      `prefix = ${text(namespace)}`,
      `location = ${text(namespace)}`,
      ...(isPlain(server) ? ['insecure = true'] : []),
      '',
      '[[registry.mirror]]',
      `location = ${text(`${host}${path}`)}`,
      ...(isPlain(url) ? ['insecure = true'] : []),
      '',
    ].join('\n');
  });
  return [{ file: '/etc/containers/registries.conf.d/entrepot.conf', content: entries.join('\n') }];
}

function buildkit({ url, registries }: Mirrored): readonly ClientFile[] {
  const { host } = new URL(url);
  const entries = namespacesOf(registries).map(({ namespace }) =>
    [`[registry.${text(namespace)}]`, `  mirrors = [${text(host)}]`, ''].join('\n'),
  );
  const plain = isPlain(url) ? [`[registry.${text(host)}]\n  http = true\n`] : [];
  return [
    {
      file: '/etc/buildkit/buildkitd.toml',
      content: [...entries, ...plain].join('\n'),
      then: 'restart buildkitd, or: docker buildx create --driver docker-container --buildkitd-config FILE',
    },
  ];
}

function k3s({ url, registries }: Mirrored): readonly ClientFile[] {
  const entries = namespacesOf(registries).flatMap(({ namespace }) => [
    `  ${text(namespace)}:`,
    '    endpoint:',
    `      - ${text(url)}`,
  ]);
  return [
    {
      file: '/etc/rancher/k3s/registries.yaml',
      content: ['mirrors:', ...entries, ''].join('\n'),
      then: 'systemctl restart k3s (k3s-agent on agents)',
    },
  ];
}

interface Namespace {
  readonly namespace: string;
  /** What a client falls back to where the mirror does not answer. */
  readonly server: string;
  /** Behind the mirror's address, where only the reference can say what is meant; undefined where none can. */
  readonly path: string | undefined;
}

function namespacesOf(registries: Mirrored['registries']): readonly Namespace[] {
  return registries.flatMap(({ url, namespaces, isDefault }) =>
    namespaces.map((namespace) => {
      const { host, origin } = new URL(url);
      // No repository has a colon in its name.
      const name = [namespace, ...namespaces].find((one) => !one.includes(':'));
      const path = name === undefined ? (isDefault ? '' : undefined) : `/${name}`;
      if (namespace === DOCKER_HUB) return { namespace, server: 'https://registry-1.docker.io', path };
      return { namespace, server: host === namespace ? origin : `https://${namespace}`, path };
    }),
  );
}

function isPlain(url: string): boolean {
  return url.startsWith('http:');
}

/** The same in JSON, TOML and YAML, for what hosts and URLs can hold. */
function text(value: string): string {
  return JSON.stringify(value);
}
