/**
 * The upstream of a run: a registry, its token service and its CDN, of the parts of the scripted upstream, under the
 * weather of the moment. Repositories can be withdrawn, as Docker Hub hides what has become somebody else's.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from '../../../src/oci/digest.ts';
import { Auth } from '../../support/scripted-upstream-auth.ts';
import { Cdn } from '../../support/scripted-upstream-cdn.ts';
import { Contents } from '../../support/scripted-upstream-content.ts';
import { LoopbackListener } from '../../support/scripted-upstream-listener.ts';
import { ScriptedRegistry } from '../../support/scripted-upstream-registry.ts';
import { errorReply, type Reply } from '../../support/scripted-upstream-reply.ts';
import { recordRequest, type Origin, type RecordedRequest } from '../../support/scripted-upstream-request.ts';
import { contentsOf, type Release } from './catalogue.ts';
import { deliver } from './delivery.ts';
import { History } from './history.ts';
import { PASSWORD, USERNAME, type Plan } from './plan.ts';
import type { Tally } from './tally.ts';
import type { Skies } from './weather.ts';

const MIN_TOKEN_LIFE_MS = 1500;

export class UnrulyUpstream implements AsyncDisposable {
  readonly history = new History();
  readonly #contents = new Contents();
  readonly #skies: Skies;
  readonly #tally: Tally;
  readonly #auth: Auth;
  readonly #cdn: Cdn;
  readonly #registry: ScriptedRegistry;
  readonly #listeners = new Map<Origin, LoopbackListener>();
  readonly #withdrawn = new Set<string>();
  #answering = 0;
  #lastTokenAt = 0;

  private constructor(plan: Plan, skies: Skies, tally: Tally) {
    this.#skies = skies;
    this.#tally = tally;
    const credentials = { username: USERNAME, password: PASSWORD };
    const account = { credentials, tokenLifetimeSeconds: plan.tokenLifetimeSeconds };
    this.#auth = new Auth(account, () => `${this.#urlOf('token')}/token`);
    this.#cdn = new Cdn(this.#contents, () => this.#urlOf('cdn'));
    const options = {
      cdn: plan.hasCdn,
      referrersApi: plan.hasReferrersApi,
      pullLimit: 1_000_000_000,
      tagsPageSize: 2,
    };
    this.#registry = new ScriptedRegistry(options, this.#contents, this.#auth, this.#cdn, () => this.url);
  }

  static async start(plan: Plan, skies: Skies, tally: Tally): Promise<UnrulyUpstream> {
    const upstream = new UnrulyUpstream(plan, skies, tally);
    const answers: [Origin, (request: RecordedRequest) => Reply][] = [
      ['registry', (request) => upstream.#answer(request)],
      ['token', (request) => upstream.#auth.answer(request)],
      ['cdn', (request) => upstream.#cdn.answer(request)],
    ];
    for (const [origin, answer] of answers) {
      const serve = (message: IncomingMessage, response: ServerResponse) =>
        void upstream.#serve(origin, answer, message, response);
      upstream.#listeners.set(origin, await LoopbackListener.start(serve));
    }
    return upstream;
  }

  /** Of the registry. */
  get url(): string {
    return this.#urlOf('registry');
  }

  /** Requests that have no end yet. */
  get answering(): number {
    return this.#answering;
  }

  get connections(): number {
    return [...this.#listeners.values()].reduce((sum, listener) => sum + listener.connections, 0);
  }

  publish({ repository, image }: Release, tag?: string): void {
    for (const { digest } of contentsOf(image)) this.history.setHeld(repository, digest);
    this.#contents.push(repository, tag, image);
    if (tag !== undefined) this.history.setTag(repository, tag, image.manifest.digest);
  }

  deleteTag(repository: string, tag: string): void {
    this.#contents.deleteTag(repository, tag);
    this.history.setTag(repository, tag, undefined);
  }

  hasManifest(repository: string, digest: Digest): boolean {
    return this.#contents.findManifest(repository, digest) !== undefined;
  }

  withdraw(repository: string): void {
    this.#withdrawn.add(repository);
    this.history.withdrawalsOf(repository).begin();
  }

  /** Shows again what was withdrawn. */
  restore(repository: string): void {
    this.#withdrawn.delete(repository);
    this.history.withdrawalsOf(repository).end();
  }

  /** Not those that were given out just now: no service takes a token back before it can be used. */
  expireTokens(): void {
    if (performance.now() - this.#lastTokenAt > MIN_TOKEN_LIFE_MS) this.#auth.expireTokens();
  }

  expireLinks(): void {
    this.#cdn.expireLinks();
  }

  async unplug(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.stop()));
  }

  async plug(): Promise<void> {
    await this.unplug();
    await Promise.all([...this.#listeners.values()].map((listener) => listener.listen()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unplug();
  }

  #answer(request: RecordedRequest): Reply {
    if (!this.#withdrawn.has(request.repository ?? '')) return this.#registry.answer(request);
    // It answers as if it did not exist, which to Docker Hub is the same as being private.
    return this.#auth.refusalOf(request, false, true) ?? errorReply(403, 'DENIED');
  }

  #urlOf(origin: Origin): string {
    return this.#listeners.get(origin)?.url ?? '';
  }

  async #serve(
    origin: Origin,
    answer: (request: RecordedRequest) => Reply,
    message: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    message.resume();
    const request = recordRequest(origin, message);
    const upcoming = { request, reply: answer(request) };
    const fault = this.#skies.faultFor(upcoming);
    this.#tally.count('upstream requests', origin);
    if (origin === 'token') this.#lastTokenAt = performance.now();
    if (fault) this.#tally.count('upstream faults', `${this.#skies.weather}: ${fault.kind}`);
    this.#answering += 1;
    response.once('close', () => (this.#answering -= 1));
    await deliver(upcoming, response, fault);
  }
}
