/** The port to tracing: what a piece of work is called, when it began and ended, and what of it goes on to others. */

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** One piece of work. To be ended once. */
export interface Span {
  /** By which whoever is asked next knows that it is part of this (W3C Trace Context). */
  readonly headers: Readonly<Record<string, string>>;
  begin(name: string, attributes: Attributes): Span;
  end(outcome: SpanOutcome): void;
}

export interface SpanOutcome {
  /** Where it is known only at the end. */
  readonly name?: string;
  readonly attributes: Attributes;
  /** Why it failed, if it did. */
  readonly failure?: string | undefined;
}

export interface Tracer {
  /** For work that somebody else asks for. @param headers of the request, by lower-case name */
  begin(name: string, headers: Readonly<Record<string, string | string[] | undefined>>): Span;
  /** Hands on what has ended, as far as somebody takes it. */
  close(): Promise<void>;
}
