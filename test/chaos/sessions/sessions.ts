/** All that clients do, and how often. */
import type { Random } from '../../support/random.ts';
import type { Client } from '../support/client.ts';
import { comeAndGo, parts, readSlowly } from './fragments.ts';
import { hesitate, pipeline, sendNonsense } from './nonsense.ts';
import { pullByDigest, pullByTag } from './pulls.ts';
import { absences, conditions, heads, lists } from './questions.ts';

type Session = (client: Client, random: Random) => Promise<void>;

const SESSIONS: readonly (readonly [weight: number, session: Session])[] = [
  [10, pullByTag],
  [4, pullByDigest],
  [4, parts],
  [4, comeAndGo],
  [1, readSlowly],
  [4, heads],
  [3, conditions],
  [3, lists],
  [3, absences],
  [2, sendNonsense],
  [2, pipeline],
  [1, hesitate],
];

export function pickSession(random: Random): Session {
  return random.pick(SESSIONS.flatMap(([weight, session]) => Array<Session>(weight).fill(session)));
}
