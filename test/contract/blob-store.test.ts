import { describe } from 'vitest';
import { BufferPool } from '../../src/blobs/buffers.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { DiskBlobStore } from '../../src/blobs/disk-blob-store.ts';
import { HotBlobStore } from '../../src/blobs/hot-blob-store.ts';
import { readOverHttp } from '../support/over-http.ts';
import { canSendfile, sendfile } from '../support/sending-server.ts';
import { MemoryBlobStore } from '../support/memory-blob-store.ts';
import { tempDir } from '../support/temp-dir.ts';
import { blobStoreContract, type OpenedBlobStore } from './blob-store.contract.ts';

async function opened(open: (directory: string) => Promise<BlobStore>): Promise<OpenedBlobStore> {
  const directory = await tempDir();
  const store = await open(directory.path);
  const dispose = async () => {
    await store.close();
    await directory[Symbol.asyncDispose]();
  };
  return { store, directory: directory.path, [Symbol.asyncDispose]: dispose };
}

blobStoreContract('memory', () => opened(() => Promise.resolve(new MemoryBlobStore())));
blobStoreContract('disk', () => opened((path) => DiskBlobStore.open(path, new BufferPool())));
blobStoreContract(
  'disk, over HTTP,',
  () => opened((path) => DiskBlobStore.open(path, new BufferPool())),
  readOverHttp,
);
describe.skipIf(!canSendfile)('by sendfile', () => {
  blobStoreContract(
    'disk, over HTTP,',
    () => opened((path) => DiskBlobStore.open(path, new BufferPool({ sendfile }))),
    readOverHttp,
  );
});
blobStoreContract('disk behind memory', () =>
  opened(async (path) => new HotBlobStore(await DiskBlobStore.open(path, new BufferPool()), 1024 * 1024)),
);
