import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../../src/config/load-config.ts';
import { faultsOf, type KubernetesObject } from '../../support/kubernetes.ts';

const DIRECTORY = new URL('../../../deploy/kubernetes/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, DIRECTORY), 'utf8');

function objectsOf(file: string): KubernetesObject[] {
  return parseAllDocuments(read(file)).map((document) => document.toJS() as KubernetesObject);
}

interface Kustomization {
  readonly namespace: string;
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly images: readonly { readonly name: string }[];
}

interface Container {
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: object;
}

interface StatefulSetSpec {
  readonly serviceName: string;
  readonly template: {
    readonly metadata: { readonly labels: object };
    readonly spec: {
      readonly containers: readonly [Container];
      readonly securityContext: object;
      readonly terminationGracePeriodSeconds: number;
    };
  };
}

interface ServiceSpec {
  readonly selector: object;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly targetPort: string }[];
}

const kustomization = parse(read('kustomization.yaml')) as Kustomization;
const objects = kustomization.resources.flatMap(objectsOf);
const named = (kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata?.name === name)!;
const specOf = (kind: string, name: string): unknown => named(kind, name)['spec'];
const statefulSet = specOf('StatefulSet', 'entrepot') as StatefulSetSpec;
const pod = statefulSet.template.spec;
const [container] = pod.containers;

describe('the manifests for Kubernetes', () => {
  it('are all among the resources of the kustomization, with the configuration', () => {
    const files = readdirSync(DIRECTORY).filter((file) => file.endsWith('.yaml'));
    const { resources, configMapGenerator } = kustomization;
    const used = ['kustomization.yaml', ...resources, ...configMapGenerator.flatMap((map) => map.files)];
    expect(files.sort()).toEqual(used.sort());
  });

  it.each(objects.map((object) => ({ what: `${object.kind} ${object.metadata?.name ?? ''}`, object })))(
    'are what the schema of Kubernetes takes, without a key that it does not know: $what',
    async ({ object }) => {
      expect(await faultsOf(object)).toEqual([]);
    },
  );

  it('are in the namespace that they make', () => {
    expect(named('Namespace', kustomization.namespace)).toBeDefined();
    const others = objects.filter(({ kind }) => kind !== 'Namespace');
    expect(new Set(others.map(({ metadata }) => metadata?.namespace))).toEqual(
      new Set([kustomization.namespace]),
    );
  });

  it('name each other rightly', () => {
    expect(kustomization.images.map(({ name }) => name)).toEqual([container.image]);
    expect(named('Service', statefulSet.serviceName)).toBeDefined();
    const ports = container.ports.map(({ name, containerPort }) => ({ name, containerPort }));
    for (const name of ['entrepot', 'entrepot-admin']) {
      const service = specOf('Service', name) as ServiceSpec;
      expect(statefulSet.template.metadata.labels).toMatchObject(service.selector);
      for (const { targetPort, port } of service.ports) {
        expect(ports).toContainEqual({ name: targetPort, containerPort: port });
      }
    }
    const monitor = specOf('ServiceMonitor', 'entrepot') as {
      readonly selector: { readonly matchLabels: object };
      readonly endpoints: readonly { readonly port: string }[];
    };
    const admin = named('Service', 'entrepot-admin');
    expect(admin.metadata?.labels).toMatchObject(monitor.selector.matchLabels);
    expect(named('Service', 'entrepot').metadata?.labels).not.toMatchObject(monitor.selector.matchLabels);
    expect((admin['spec'] as ServiceSpec).ports[0]?.name).toBe(monitor.endpoints[0]?.port);
  });

  it('run the mirror as the user of the image, on a root that it can not write, with no privilege', () => {
    expect(pod.securityContext).toMatchObject({
      ...{ runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532 },
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('give a configuration that the mirror takes, and time to end', () => {
    const settings = container.env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]));
    const mount = container.volumeMounts.find(({ name }) => name === 'config')!;
    const config = loadConfig({
      env: Object.fromEntries(settings) as Record<string, string>,
      readFile: (path) => read(path.replace(`${mount.mountPath}/`, '')),
    });
    expect(config.upstreams.map(({ name }) => name)).toHaveLength(4);
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(config.shutdownGraceMs);
  });

  it('give the nodes a hosts.toml with the port that is published on them', () => {
    const service = specOf('Service', 'entrepot') as {
      readonly ports: readonly [{ readonly nodePort: number }];
    };
    expect(read('certs.d/_default/hosts.toml')).toContain(
      `\n[host."http://127.0.0.1:${service.ports[0].nodePort}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  });
});

describe('the check of manifests', () => {
  const service = named('Service', 'entrepot');

  it('finds a key that is not known, and a value of another type', async () => {
    const misspelt = { ...service, spec: { type: 'NodePort', selektor: {}, ports: [{ port: 5000 }] } };
    expect(await faultsOf(misspelt)).toEqual(['/spec/selektor is not known']);
    const wrong = { ...service, spec: { ports: [{ port: 'five' }] } };
    expect((await faultsOf(wrong)).join()).toContain('/spec/ports/0/port');
  });

  it('finds a kind that there is not', async () => {
    await expect(faultsOf({ ...service, kind: 'Servise' })).rejects.toThrow('Servise');
  });
});
