/** Why a request to the admin listener is answered with something else than what it asks for. */
export class AdminRefusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    options: ErrorOptions & { readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message, options);
    this.name = 'AdminRefusal';
    this.status = status;
    this.headers = options.headers ?? {};
  }
}
