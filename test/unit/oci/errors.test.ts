import { describe, expect, it } from 'vitest';
import { RegistryError, type ErrorCode } from '../../../src/oci/errors.ts';

describe('RegistryError', () => {
  it.each<[ErrorCode, number]>([
    ['BLOB_UNKNOWN', 404],
    ['MANIFEST_UNKNOWN', 404],
    ['NAME_UNKNOWN', 404],
    ['BLOB_UPLOAD_UNKNOWN', 404],
    ['NAME_INVALID', 400],
    ['TAG_INVALID', 400],
    ['DIGEST_INVALID', 400],
    ['MANIFEST_INVALID', 400],
    ['PAGINATION_NUMBER_INVALID', 400],
    ['UNAUTHORIZED', 401],
    ['DENIED', 403],
    ['UNSUPPORTED', 405],
    ['RANGE_INVALID', 416],
    ['TOOMANYREQUESTS', 429],
    ['UNKNOWN', 500],
    ['UNAVAILABLE', 503],
  ])('with %s has the status %d', (code, status) => {
    expect(new RegistryError(code, 'x').status).toBe(status);
  });

  it('may have another status', () => {
    expect(new RegistryError('UNSUPPORTED', 'x', { status: 404 }).status).toBe(404);
  });

  it('goes onto the wire as the OCI JSON, with its detail and nothing else', () => {
    const error = new RegistryError('NAME_INVALID', 'no good', {
      detail: { name: 'X' },
      cause: new Error('secret'),
      retryAfterSeconds: 3,
    });
    expect(JSON.parse(JSON.stringify(error.toWire()))).toEqual({
      errors: [{ code: 'NAME_INVALID', message: 'no good', detail: { name: 'X' } }],
    });
  });

  it('leaves the detail out where there is none', () => {
    expect(new RegistryError('UNKNOWN', 'x').toWire()).toStrictEqual({
      errors: [{ code: 'UNKNOWN', message: 'x' }],
    });
  });

  it('is an Error with its cause', () => {
    const cause = new Error('disk');
    const error = new RegistryError('UNKNOWN', 'x', { cause, retryAfterSeconds: 3 });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'RegistryError', message: 'x', cause, retryAfterSeconds: 3 });
    expect('cause' in new RegistryError('UNKNOWN', 'x')).toBe(false);
  });
});
