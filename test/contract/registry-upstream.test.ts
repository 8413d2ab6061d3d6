import { credentialsFrom } from '../../src/upstream/credentials.ts';
import { RegistryUpstream } from '../../src/upstream/registry-upstream.ts';
import { upstreamContract } from './upstream.contract.ts';

upstreamContract('RegistryUpstream', (url) =>
  Promise.resolve(
    new RegistryUpstream({
      name: 'scripted',
      url: new URL(url),
      credentials: credentialsFrom(undefined),
      allowedRealms: [],
      maxConnections: 50,
      connectTimeoutMs: 10_000,
      headersTimeoutMs: 10_000,
      bodyTimeoutMs: 10_000,
      userAgent: 'entrepot/test',
    }),
  ),
);
