/** A text that must not show up in logs, dumps or error messages: whoever needs it has to ask for it by name. */
import { inspect } from 'node:util';

export class Secret {
  static readonly mask = '***';
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return Secret.mask;
  }

  toJSON(): string {
    return Secret.mask;
  }

  [inspect.custom](): string {
    return `Secret(${Secret.mask})`;
  }
}
