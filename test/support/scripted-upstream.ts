/**
 * A registry that behaves as Docker Hub does, on three real origins (registry, token service, CDN), counts every
 * request and goes wrong as scripted. test/contract holds it to what real registries do.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from '../../src/oci/digest.ts';
import type { Pushable } from './images.ts';
import { Auth, type AuthOptions } from './scripted-upstream-auth.ts';
import { Cdn } from './scripted-upstream-cdn.ts';
import { Contents } from './scripted-upstream-content.ts';
import { deliver } from './scripted-upstream-delivery.ts';
import { Gate, Script, type Fault } from './scripted-upstream-faults.ts';
import { LoopbackListener } from './scripted-upstream-listener.ts';
import { ScriptedRegistry, type RegistryOptions } from './scripted-upstream-registry.ts';
import type { Reply } from './scripted-upstream-reply.ts';
import {
  matches,
  recordRequest,
  type Match,
  type Origin,
  type RecordedRequest,
} from './scripted-upstream-request.ts';

export type ScriptedUpstreamOptions = AuthOptions & RegistryOptions;

export class ScriptedUpstream implements AsyncDisposable {
  readonly #contents = new Contents();
  readonly #script = new Script();
  readonly #auth: Auth;
  readonly #cdn: Cdn;
  readonly #registry: ScriptedRegistry;
  readonly #listeners = new Map<Origin, LoopbackListener>();
  #requests: RecordedRequest[] = [];
  #blobBytesSent = 0;

  private constructor(options: ScriptedUpstreamOptions) {
    this.#auth = new Auth(options, () => `${this.#urlOf('token')}/token`);
    this.#cdn = new Cdn(this.#contents, () => this.#urlOf('cdn'));
    this.#registry = new ScriptedRegistry(options, this.#contents, this.#auth, this.#cdn, () => this.url);
  }

  static async start(options: ScriptedUpstreamOptions = {}): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream(options);
    const answers: [Origin, (request: RecordedRequest) => Reply][] = [
      ['registry', (request) => upstream.#registry.answer(request)],
      ['token', (request) => upstream.#auth.answer(request)],
      ['cdn', (request) => upstream.#cdn.answer(request)],
    ];
    for (const [origin, answer] of answers) {
      const listener = await LoopbackListener.start(
        (message, response) => void upstream.#serve(origin, answer, message, response),
      );
      upstream.#listeners.set(origin, listener);
    }
    return upstream;
  }

  /** Of the registry. */
  get url(): string {
    return this.#urlOf('registry');
  }

  get tokenUrl(): string {
    return this.#urlOf('token');
  }

  get cdnUrl(): string {
    return this.#urlOf('cdn');
  }

  /** Manifest with all that it needs, children included. */
  push(repository: string, tag: string | undefined, image: Pushable): void {
    this.#contents.push(repository, tag, image);
  }

  pushBlob(repository: string, bytes: Uint8Array): Digest {
    return this.#contents.pushBlob(repository, bytes);
  }

  tag(repository: string, tag: string, digest: Digest): void {
    this.#contents.tag(repository, tag, digest);
  }

  deleteTag(repository: string, tag: string): void {
    this.#contents.deleteTag(repository, tag);
  }

  deleteManifest(repository: string, digest: Digest): void {
    this.#contents.deleteManifest(repository, digest);
  }

  /** From this repository; links to the CDN that were given out stay good. */
  deleteBlob(repository: string, digest: Digest): void {
    this.#contents.deleteBlob(repository, digest);
  }

  makePrivate(repository: string, isPrivate = true): void {
    this.#contents.makePrivate(repository, isPrivate);
  }

  /** All requests since the start or the last reset, in the order they came, refused ones included. */
  get requests(): readonly RecordedRequest[] {
    return this.#requests;
  }

  count(match: Match = {}): number {
    return this.#requests.filter((request) => matches(request, match)).length;
  }

  /** Bodies of blobs that were sent by the registry or the CDN, in bytes. */
  get blobBytesSent(): number {
    return this.#blobBytesSent;
  }

  /** Connections that are open now, on all origins or one. */
  connections(origin?: Origin): number {
    const listeners = [...this.#listeners].filter(([name]) => origin === undefined || name === origin);
    return listeners.reduce((sum, [, listener]) => sum + listener.connections, 0);
  }

  /** Forgets what was counted; content, tokens and script stay. */
  reset(): void {
    this.#requests = [];
    this.#blobBytesSent = 0;
  }

  /** What goes wrong with the next requests that match. Blobs with a CDN have their bodies under the kind `cdn`. */
  fault(match: Match, fault: Fault, times = 1): void {
    this.#script.addFault(match, fault, times);
  }

  /** Answers these requests with that. */
  reply(match: Match, reply: Reply, times = 1): void {
    this.fault(match, { reply }, times);
  }

  /** Holds the next requests that match before their headers, or in the middle of their bodies. */
  hold(match: Match, place: { readonly afterBytes?: number; readonly times?: number } = {}): Gate {
    const gate = new Gate(place);
    this.#script.addGate(match, gate, place.times ?? 1);
    return gate;
  }

  /** Drops faults and gates that have not met their requests yet. */
  clearScript(): void {
    this.#script.clear();
  }

  /** Tokens given out so far are refused as `invalid_token`. */
  expireTokens(): void {
    this.#auth.expireTokens();
  }

  /** Links to the CDN given out so far are refused with 403. */
  expireLinks(): void {
    this.#cdn.expireLinks();
  }

  /** GETs of manifests that are left until 429. */
  get remainingPulls(): number {
    return this.#registry.remainingPulls;
  }

  set remainingPulls(count: number) {
    this.#registry.remainingPulls = count;
  }

  /** Unplugs it: connections break, new ones are refused. */
  async stop(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.stop()));
  }

  /** Plugs it in again, at the same ports and with the same content. */
  async restart(): Promise<void> {
    await this.stop();
    await Promise.all([...this.#listeners.values()].map((listener) => listener.listen()));
  }

  async close(): Promise<void> {
    await this.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
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
    this.#requests.push(request);
    const reply = answer(request);
    const course = this.#script.take(request, reply.status);
    const isBlob = (origin === 'cdn' || request.kind === 'blob') && reply.status === 200;
    await deliver(request, response, reply, course, (count) => {
      if (isBlob && course.fault.reply === undefined) this.#blobBytesSent += count;
    });
  }
}
