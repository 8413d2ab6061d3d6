/** What deploy/ has for Prometheus and Grafana, read: expressions, queries, and the metrics that they name. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';

export const DEPLOY = join(import.meta.dirname, '../../../deploy');

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
}

export interface RuleTexts {
  readonly expressions: readonly string[];
  /** Names. */
  readonly records: readonly string[];
  readonly alerts: readonly string[];
}

export async function ruleExpressions(): Promise<RuleTexts> {
  const text = await readFile(join(DEPLOY, 'prometheus/rules.yml'), 'utf8');
  const { groups } = parse(text) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
  const rules = groups.flatMap(({ rules: own }) => own);
  return {
    expressions: rules.map(({ expr }) => expr),
    records: rules.flatMap(({ record }) => record ?? []),
    alerts: rules.flatMap(({ alert }) => alert ?? []),
  };
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export interface PanelQuery {
  readonly panel: string;
  readonly query: string;
}

/** Of every panel, as Grafana would send them where all is chosen; of the last minute, scraped every second. */
export async function dashboardQueries(): Promise<readonly PanelQuery[]> {
  const text = await readFile(join(DEPLOY, 'grafana/dashboards/entrepot.json'), 'utf8');
  const { panels } = JSON.parse(text) as { readonly panels: readonly Panel[] };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ panel: title, query: substituted(expr) })),
  );
}

function substituted(expr: string): string {
  const query = expr
    .replaceAll('$__rate_interval', '15s')
    .replaceAll('$__range', '1m')
    .replaceAll(/\$(job|instance)\b/g, '.+');
  if (query.includes('$')) throw new Error(`a variable that Grafana would not know: ${query}`);
  return query;
}

/** As they are declared: without what a histogram adds. */
export function namesIn(expressions: readonly string[]): readonly string[] {
  const found = expressions.flatMap(
    (text) => text.match(/(?<![\w:])(entrepot|registry_proxy|process|nodejs)_\w+(?!\w*:)/g) ?? [],
  );
  return [...new Set(found.map((name) => name.replace(/(_seconds)_(bucket|sum|count)$/, '$1')))];
}
