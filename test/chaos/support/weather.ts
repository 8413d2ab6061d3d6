/**
 * What upstream does to the mirror at a time. Each fault follows from the seed, from what is asked for and from how
 * often it was: not from the order in which requests happen to come.
 * - `clear`: nothing is wrong.
 * - `squall`: what no client may notice. A body breaks off by FIN or RST up to five times in a row, or falls silent for
 *   shorter or longer than the mirror waits, or comes slowly, without its length, or whole where a range was asked
 *   for; answers come late; now and then one exchange fails (a hang-up or a 5xx), never the next with that host.
 * - `storm`: anything, lies included.
 * - `outage`: nobody is there, or there is nothing but 503.
 */
import { Random } from '../../support/random.ts';
import type { Origin, RecordedRequest } from '../../support/scripted-upstream-request.ts';
import { faultsFor, isBlobBody, type Fault, type FaultKind, type Upcoming } from './fault.ts';
import { Spans } from './spans.ts';
import { BODY_TIMEOUT_MS, HEADERS_TIMEOUT_MS } from './plan.ts';

export type Weather = 'clear' | 'squall' | 'storm' | 'outage';

/** In a row, for one blob. */
const MAX_CUTS = 5;
/** Of those that may bring nothing: less than the mirror's patience before it has headers for its client. */
const MAX_FRUITLESS = 3;
/** A circuit breaker opens at three failures in a row. */
const BLIP_INTERVAL_MS = 1500;
const BLIP_LINGERS_MS = 1000;
const MIN_RST_BYTES = 512 * 1024;

/**
 * How long after trouble of that length a mirror may still refuse: its breaker opens for 5 s at first, and after an
 * outage of some length for about as long as that has lasted; what was asked last runs into its timeout.
 */
function lingering(lengthMs: number): number {
  return 5000 + HEADERS_TIMEOUT_MS + BODY_TIMEOUT_MS + (lengthMs > 3900 ? lengthMs : 0);
}

interface Streak {
  asked: number;
  cuts: number;
  fruitless: number;
}

export class Skies {
  /** While clients may see that something is wrong. */
  readonly trouble = new Spans(lingering);
  readonly #seed: string;
  readonly #streaks = new Map<string, Streak>();
  readonly #lastBlip = new Map<Origin, number>();
  /** When questions about a repository failed: the mirror may give its older answer. */
  readonly #blips = new Map<string, Spans>();
  #weather: Weather = 'clear';

  constructor(seed: string) {
    this.#seed = seed;
  }

  get weather(): Weather {
    return this.#weather;
  }

  change(weather: Weather): void {
    this.#weather = weather;
    if (weather === 'storm' || weather === 'outage') this.trouble.begin();
    else this.trouble.end();
  }

  /** Whether older answers may have been given between, though none may have failed. */
  hadBlips(repository: string, from: number, until: number): boolean {
    return this.#blips.get(repository)?.touches(from, until) ?? false;
  }

  faultFor(upcoming: Upcoming): Fault | undefined {
    const { request } = upcoming;
    const key = `${request.origin} ${request.method} ${request.path}`;
    const streak = this.#streaks.get(key) ?? { asked: 0, cuts: 0, fruitless: 0 };
    this.#streaks.set(key, streak);
    const random = new Random(`${this.#seed}/${key}/${streak.asked++}`);
    switch (this.#weather) {
      case 'clear':
        return undefined;
      case 'squall':
        return isBlobBody(upcoming) ? interruption(upcoming, random, streak) : this.#blip(upcoming, random);
      case 'storm':
        return random.chance(0.3) ? faultOf(random.pick(faultsFor(upcoming)), random) : undefined;
      case 'outage':
        return { kind: 'status', status: 503 };
    }
  }

  #remember({ repository, query }: RecordedRequest): void {
    const [, scope] = /^repository:(.+):pull$/.exec(query.get('scope') ?? '') ?? [];
    const name = repository ?? scope ?? '';
    const blips = this.#blips.get(name) ?? new Spans(() => BLIP_LINGERS_MS);
    this.#blips.set(name, blips);
    blips.begin();
    blips.end();
  }

  #blip({ request, reply }: Upcoming, random: Random): Fault | undefined {
    if (random.chance(0.1)) return { kind: 'delay', ms: random.between(10, 500) };
    const { origin } = request;
    const isAllowed = (this.#lastBlip.get(origin) ?? 0) + BLIP_INTERVAL_MS < performance.now();
    if (!isAllowed || reply.status >= 400 || !random.chance(0.1)) return undefined;
    this.#lastBlip.set(origin, performance.now());
    this.#remember(request);
    if (random.chance(0.5)) return { kind: 'hang-up', by: random.pick(['fin', 'rst']) };
    return { kind: 'status', status: random.pick([500, 502, 503, 504]) };
  }
}

function interruption({ request, reply }: Upcoming, random: Random, streak: Streak): Fault | undefined {
  const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const rest = (reply.body?.length ?? 0) - start;
  const kind = random.pick<FaultKind>([
    'cut',
    'cut',
    'cut',
    'stall',
    'drip',
    'delay',
    'no-range',
    'no-length',
  ]);
  const fault = faultOf(kind, random);
  const isBroken = fault.kind === 'cut' || fault.kind === 'stall';
  if (!isBroken) return random.chance(0.4) ? fault : undefined;
  const isFruitless = fault.kind === 'stall' || fault.by === 'rst';
  const isTooMuch =
    streak.cuts >= MAX_CUTS ||
    (isFruitless && (streak.fruitless >= MAX_FRUITLESS || rest < MIN_RST_BYTES)) ||
    rest < 3;
  if (isTooMuch || !random.chance(streak.cuts > 0 ? 0.7 : 0.5)) {
    streak.cuts = 0;
    streak.fruitless = 0;
    return undefined;
  }
  streak.cuts += 1;
  if (isFruitless) streak.fruitless += 1;
  return fault;
}

function faultOf(kind: FaultKind, random: Random): Fault {
  const at = random.between(1, 99) / 100;
  switch (kind) {
    case 'cut':
      return { kind, at, by: random.pick(['fin', 'rst']) };
    case 'stall':
      return { kind, at, ms: random.pick([100, BODY_TIMEOUT_MS / 2, 4 * BODY_TIMEOUT_MS]) };
    case 'drip':
      return { kind, ms: random.between(5, 50) };
    case 'delay':
      return { kind, ms: random.between(10, 500) };
    case 'silence':
      return { kind, ms: 2 * HEADERS_TIMEOUT_MS };
    case 'hang-up':
      return { kind, by: random.pick(['fin', 'rst']) };
    case 'flip':
    case 'truncate':
      return { kind, at };
    case 'overlong':
      return { kind, bytes: random.pick([1, 1000, 100_000]) };
    case 'false-length':
      return { kind, by: random.pick([-1, 1, 1000]) };
    case 'status':
      return { kind, status: random.pick([429, 500, 502, 503, 504]) };
    default:
      return { kind };
  }
}
