/** What a run was and what it found, for people. */
import type { Finding } from './findings.ts';
import type { World } from './world.ts';

export interface Report {
  readonly seed: string;
  readonly findings: readonly Finding[];
  /** How much of everything there was. */
  readonly summary: string;
  /** All that helps to find out why; empty where nothing was found. */
  readonly explanation: string;
}

const LOG_LINES = 60;
const ABOUT_LINES = 40;

export function reportOf({ plan, findings, tally, mirror }: World): Report {
  const seconds = (findings.elapsedMs / 1000).toFixed(1);
  const summary = [`seed ${plan.seed}: ${seconds} s, ${findings.all.length} findings`, ...tally.lines].join(
    '\n  ',
  );
  return {
    seed: plan.seed,
    findings: findings.all,
    summary,
    explanation: findings.isEmpty ? '' : explanationOf({ plan, findings, mirror }),
  };
}

function explanationOf({ plan, findings, mirror }: Pick<World, 'plan' | 'findings' | 'mirror'>): string {
  const found = findings.all.map(
    ({ atMs, what, details }) => `${(atMs / 1000).toFixed(3)} ${what}\n${details}`,
  );
  // What the mirror has said about what the first finding is about.
  const subject = /"(?:digest|tag)": ?"([^"]+)"/.exec(findings.all[0]?.details ?? '')?.[1];
  const about = subject === undefined ? [] : mirror.log.tail.filter((line) => line.includes(subject));
  return [
    '--- found',
    ...found,
    '--- the setup',
    JSON.stringify(plan, undefined, 1),
    '--- the last that was done',
    ...findings.actions,
    `--- the last that the mirror said about ${subject ?? 'it'}`,
    ...about.slice(-ABOUT_LINES),
    '--- the last that the mirror said',
    ...mirror.log.tail.slice(-LOG_LINES),
    '--- again',
    `npm run chaos -- --seed ${plan.seed} --seconds ${plan.seconds}${plan.flipsBits ? ' --flips' : ''}`,
  ].join('\n');
}
