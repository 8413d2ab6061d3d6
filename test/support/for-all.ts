/** Settings of every mirror that a run of the tests starts, whatever each test sets beside them. */

/**
 * A whole run of the tests can be over worker processes, or without sendfile(2):
 * `ENTREPOT_WORKERS=2 ENTREPOT_SENDFILE=off npx vitest run --project integration`.
 */
export const FOR_ALL: Readonly<Record<string, string>> = Object.fromEntries(
  ['ENTREPOT_WORKERS', 'ENTREPOT_SENDFILE'].flatMap((name) => {
    const value = process.env[name];
    return value ? [[name, value]] : [];
  }),
);
