import { connect } from '../unit/upstream/connect.ts';
import { upstreamContract } from './upstream.contract.ts';

upstreamContract('RegistryUpstream', (url) => Promise.resolve(connect({ url })));
