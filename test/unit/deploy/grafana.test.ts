/**
 * Grafana has no tool that checks what it is provisioned with, and starts without what it does not understand. The
 * schemas here are those of its documentation ("Provision Grafana", "Dashboard JSON model"), as far as it is used.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const DEPLOY = join(import.meta.dirname, '../../../deploy');
const text = (path: string) => readFileSync(join(DEPLOY, path), 'utf8');

const strict = (properties: object, required: readonly string[] = Object.keys(properties)) => ({
  ...{ type: 'object', additionalProperties: false, properties, required },
});
const string = { type: 'string', minLength: 1 };
const count = { type: 'integer', minimum: 0 };
const listOf = (items: object, minItems = 1) => ({ type: 'array', minItems, items });
const PROMETHEUS = strict({ type: { const: 'prometheus' }, uid: { const: '${datasource}' } });

const PROVIDERS = strict({
  apiVersion: { const: 1 },
  providers: listOf(
    strict({
      ...{ name: string, type: { const: 'file' } },
      ...{ disableDeletion: { type: 'boolean' }, allowUiUpdates: { type: 'boolean' } },
      options: strict({ path: string }),
    }),
  ),
});
const DATASOURCES = strict({
  apiVersion: { const: 1 },
  datasources: listOf(
    strict({
      ...{ name: string, uid: string, type: { const: 'prometheus' }, access: { const: 'proxy' } },
      ...{ url: { type: 'string', pattern: '^http://' }, isDefault: { type: 'boolean' } },
      jsonData: strict({ timeInterval: { type: 'string', pattern: '^\\d+s$' } }),
    }),
  ),
});
const PANEL = {
  type: 'object',
  required: ['id', 'type', 'title', 'gridPos'],
  properties: {
    ...{ id: { ...count, minimum: 1 }, title: string },
    type: { enum: ['row', 'stat', 'timeseries', 'table', 'gauge', 'state-timeline'] },
    gridPos: strict({
      h: { ...count, minimum: 1 },
      w: { ...count, minimum: 1, maximum: 24 },
      x: count,
      y: count,
    }),
    datasource: PROMETHEUS,
  },
  if: { properties: { type: { not: { const: 'row' } } } },
  then: {
    required: ['description', 'datasource', 'targets', 'fieldConfig', 'options'],
    properties: {
      description: { type: 'string' },
      targets: listOf({
        type: 'object',
        required: ['refId', 'expr', 'datasource'],
        properties: { refId: { type: 'string', pattern: '^[A-Z]$' }, expr: string, datasource: PROMETHEUS },
      }),
    },
  },
};
const DASHBOARD = {
  type: 'object',
  required: ['uid', 'title', 'schemaVersion', 'templating', 'time', 'panels'],
  properties: {
    uid: { type: 'string', pattern: '^[\\w-]{1,40}$' },
    schemaVersion: { type: 'integer', minimum: 36 },
    // What is exported has an id of its own database, by which it overwrites another's.
    id: false,
    panels: listOf(PANEL),
    templating: strict({
      list: listOf({ type: 'object', required: ['name', 'type', 'query'], properties: { name: string } }),
    }),
  },
};

function mistakes(schema: object, value: unknown): unknown {
  const validate = new Ajv2020({ allErrors: true }).compile(schema);
  validate(value);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`);
}

interface Panel {
  readonly id: number;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}
const dashboard = JSON.parse(text('grafana/dashboards/entrepot.json')) as {
  readonly panels: readonly Panel[];
};

describe('what Grafana is provisioned with', () => {
  const [dashboards, datasources] = ['dashboards/entrepot.yml', 'datasources/prometheus.yml'].map(
    (path) => parse(text(`grafana/provisioning/${path}`)) as unknown,
  );

  it('is all that it understands, and nothing that it would pass over', () => {
    expect(mistakes(PROVIDERS, dashboards)).toEqual([]);
    expect(mistakes(DATASOURCES, datasources)).toEqual([]);
    expect(mistakes(DASHBOARD, dashboard)).toEqual([]);
  });

  it('is told apart from what is not', () => {
    expect(mistakes(PROVIDERS, { ...(dashboards as object), providres: [] })).not.toEqual([]);
    expect(mistakes(DASHBOARD, { ...dashboard, panels: [{ id: 1, type: 'graph', title: 'x' }] })).not.toEqual(
      [],
    );
  });

  it('lies where the compose file puts it', () => {
    const [{ options }] = (dashboards as { providers: [{ options: { path: string } }] }).providers;
    expect(text('docker-compose.yml')).toContain(`./grafana/dashboards:${options.path}:ro`);
  });

  it('has panels of their own ids that lie beside each other', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});

describe('every file of deploy/ that is YAML or JSON', () => {
  /** By whom it is held against a schema or given to its tool. */
  const CHECKED: Readonly<Record<string, RegExp>> = {
    'test/unit/deploy/kubernetes.test.ts': /^kubernetes\//,
    'test/unit/deploy/grafana.test.ts': /^grafana\//,
    'test/e2e/prometheus.test.ts': /^prometheus\//,
    'test/e2e/stack-files.test.ts': /^docker-compose/,
    'test/e2e/stack-swarm.test.ts': /^swarm\//,
    'test/unit/config/deploy.test.ts': /^entrepot\.yaml$/,
  };

  it.each(globSync('**/*.{yml,yaml,json}', { cwd: DEPLOY }))('%s is checked by one test', (path) => {
    expect(Object.values(CHECKED).filter((pattern) => pattern.test(path))).toHaveLength(1);
  });
});
