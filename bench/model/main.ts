/** The command `node bench/model/main.ts`: how long a rollout takes in a network that the arguments describe. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { fitFigures } from './figures.ts';
import { withTables, type Measured } from './page.ts';
import { predict, type Topology } from './rollout.ts';
import { DEFAULTS, duration, TOPOLOGIES } from './tables.ts';

const ROOT = join(import.meta.dirname, '../..');
const RESULTS = join(ROOT, 'docs/benchmarks/results.json');
const PAGE = join(ROOT, 'docs/scale.md');
const GBIT = 125_000_000;
const GIB = 1024 ** 3;

const HELP = `Usage: node bench/model/main.ts [options]

How long until every node has the whole image, with no mirror, one, one a rack, and a root above those. What a mirror
costs is taken from docs/benchmarks; docs/scale.md says what the model leaves out.

  --nodes N        how many pull (100)
  --image GIB      what each pulls (2)
  --rack N         nodes in a rack (40)
  --line GBIT      to the registry outside (1)
  --node GBIT      each node's network card (10)
  --uplink GBIT    between a rack and the rest (40)
  --mirror GBIT    a mirror's network card (10)
  --cores N        of a mirror (4)
  --disk GB        that a mirror's disk writes a second (1)
  --tls            clients speak HTTPS
  --publish        writes the tables of docs/scale.md
  --help           prints this
`;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    image: { type: 'string', default: '2' },
    rack: { type: 'string', default: '40' },
    line: { type: 'string', default: '1' },
    node: { type: 'string', default: '10' },
    uplink: { type: 'string', default: '40' },
    mirror: { type: 'string', default: '10' },
    cores: { type: 'string', default: '4' },
    disk: { type: 'string', default: '1' },
    tls: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function positive(name: Exclude<keyof typeof values, 'tls' | 'publish' | 'help'>): number {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value > 0) return value;
  process.stderr.write(`--${name} takes a number above 0, not ${values[name]}\n`);
  process.exit(2);
}

if (values.help) {
  process.stdout.write(HELP);
} else {
  const measured = JSON.parse(readFileSync(RESULTS, 'utf8')) as Measured;
  if (values.publish) {
    const page = withTables(readFileSync(PAGE, 'utf8'), measured);
    writeFileSync(PAGE, await format(page, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
  } else {
    const figures = fitFigures(measured.samples);
    if (values.tls && figures.sendTlsCpuSecondsPerGiB === undefined) {
      process.stderr.write('docs/benchmarks has nothing of TLS: npm run bench -- --out docs\n');
      process.exit(1);
    }
    const network = {
      ...DEFAULTS,
      ...{ nodes: positive('nodes'), imageBytes: positive('image') * GIB, nodesInRack: positive('rack') },
      ...{ line: positive('line') * GBIT, nodeNetwork: positive('node') * GBIT, isTls: values.tls },
      rackUplink: positive('uplink') * GBIT,
      mirror: {
        ...DEFAULTS.mirror,
        ...{
          network: positive('mirror') * GBIT,
          cores: positive('cores'),
          diskWrite: positive('disk') * 1e9,
        },
      },
    };
    for (const [topology, title] of Object.entries(TOPOLOGIES) as [Topology, string][]) {
      const { seconds, shares } = predict({ ...network, topology }, figures);
      const parts = shares.map((share) => `${share.resource} ${duration(share.seconds)}`);
      process.stdout.write(`${title}: ${duration(seconds)}\n    ${parts.join(', ')}\n`);
    }
  }
}
