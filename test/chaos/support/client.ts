/** One client: its connections, what it asks, and the judge that sees each answer. */
import { Agent } from 'node:http';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Random } from '../../support/random.ts';
import type { Judge } from './judge.ts';
import { headersOf, pathOf, type Question } from './question.ts';
import { exchange, type Answer, type WireRequest } from './wire.ts';
import type { World } from './world.ts';

/** The run is over, and nobody asks any more. */
export class RunOverError extends Error {}

export type Pace = Pick<WireRequest, 'leaveAfterBytes' | 'slowly'>;

export class Client implements Disposable {
  readonly world: World;
  readonly name: string;
  readonly #judge: Judge;
  readonly #isOver: () => boolean;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 6 });

  constructor(world: World, judge: Judge, name: string, isOver: () => boolean) {
    this.world = world;
    this.name = name;
    this.#judge = judge;
    this.#isOver = isOver;
  }

  /** Where the registry is; waits while the mirror is away. @throws RunOverError */
  async registryUrl(): Promise<string> {
    const url = (await this.world.mirror.addresses())?.registry;
    if (this.#isOver() || url === undefined) throw new RunOverError('the run is over');
    return url;
  }

  /** The answer, judged. @throws RunOverError */
  async ask(question: Question, pace: Pace = {}): Promise<Answer> {
    const url = (await this.registryUrl()) + pathOf(question);
    const { tally, findings, catalogue } = this.world;
    const answer = await exchange(url, {
      method: question.method,
      headers: headersOf(question),
      agent: this.#agent,
      content:
        'digest' in question && question.kind !== 'referrers'
          ? catalogue.find(question.digest)?.bytes
          : undefined,
      ...pace,
    });
    const outcome = answer.hasLeft ? 'left' : String(answer.status ?? 'no answer');
    tally.count('client requests', outcome);
    findings.acted(
      `${this.name} ${question.method} ${pathOf(question)} ${headersOf(question)['range'] ?? ''} ${outcome}`,
    );
    this.#judge.judge(question, answer);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Something that upstream has, or had when it was chosen. */
export function pickRepository({ catalogue }: World, random: Random): string {
  return random.pick(catalogue.repositories);
}

export function pickManifest({ catalogue }: World, repository: string, random: Random): Digest {
  return random.pick(catalogue.releasesOf(repository)).image.manifest.digest;
}

export function pickBlob({ catalogue }: World, repository: string, random: Random): Digest {
  const { image } = random.pick(catalogue.releasesOf(repository));
  const blobs = [image, ...image.children].flatMap((each) => each.blobs);
  return random.pick(blobs).digest;
}
