import { describe, expect, it } from 'vitest';
import { formatRecordPath, parseRecordPath } from '../../../src/metadata/record-path.ts';
import type { RecordAddress } from '../../../src/metadata/record.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { Reference } from '../../../src/oci/reference.ts';
import { repositoryKey, tagOf } from './content.ts';

const HASH = digestOf(Buffer.from('content'));
const LONG_HASH = digestOf(Buffer.from('content'), 'sha512');

describe('the path of a record', () => {
  it('is that of its repository, its kind and its name', () => {
    const repository = repositoryKey('library/alpine');
    expect(formatRecordPath({ kind: 'tag', repository, tag: tagOf('3.20') })).toBe(
      'docker.io/library/alpine/_tags/3.20',
    );
    expect(formatRecordPath({ kind: 'blob', repository, digest: HASH })).toBe(
      `docker.io/library/alpine/_blobs/sha256/${HASH.slice(7)}`,
    );
    const pin = (reference: Reference) => formatRecordPath({ kind: 'pin', repository, reference });
    expect(pin({ kind: 'tag', tag: tagOf('3.20') })).toBe('docker.io/library/alpine/_pins/tags/3.20');
    expect(pin({ kind: 'digest', digest: HASH })).toBe(
      `docker.io/library/alpine/_pins/digests/sha256/${HASH.slice(7)}`,
    );
  });

  it('tells the same address again, whatever the upstream is called', () => {
    for (const upstream of ['docker.io', 'localhost:5000', '..', '.', 'a/b', '%2F', 'Ünï çode', '_x']) {
      const repository = repositoryKey('a/b-c/d__e', upstream);
      const addresses: RecordAddress[] = [
        { kind: 'tag', repository, tag: tagOf('_tags') },
        { kind: 'manifest', repository, digest: LONG_HASH },
        { kind: 'blob', repository, digest: HASH },
        { kind: 'pin', repository, reference: { kind: 'tag', tag: tagOf('sha256') } },
        { kind: 'pin', repository, reference: { kind: 'digest', digest: LONG_HASH } },
      ];
      for (const address of addresses) {
        const path = formatRecordPath(address);
        expect(path.split('/')).not.toContain('..');
        expect(path.startsWith('.')).toBe(false);
        expect(parseRecordPath(path)).toEqual(address);
      }
    }
  });

  it.each([
    '',
    'docker.io',
    'docker.io/library/alpine',
    'docker.io/_tags/3',
    'docker.io/Library/_tags/3',
    'docker.io/alpine/_tags',
    'docker.io/alpine/_tags/-3',
    'docker.io/alpine/_tags/a/b',
    'docker.io/alpine/_other/3',
    'docker.io/alpine/_pins',
    'docker.io/alpine/_pins/3',
    'docker.io/alpine/_pins/tags',
    'docker.io/alpine/_pins/tags/-3',
    'docker.io/alpine/_pins/digests/sha256/abc',
    'docker.io/alpine/_blobs/sha256/abc',
    `docker.io/alpine/_blobs/md5/${HASH.slice(7)}`,
    `docker.io/alpine/_manifests/sha512/${HASH.slice(7)}`,
    '%/alpine/_tags/3',
    '%2e/alpine/_tags/3',
    '%FF/alpine/_tags/3',
  ])('is not %j', (path) => {
    expect(parseRecordPath(path)).toBeUndefined();
  });
});
