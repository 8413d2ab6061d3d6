/** What is to be said about the pulls that an upstream still grants. */
import type { RateLimitView } from '../admin/views.ts';
import type { Finding } from './finding.ts';
import { formatSpan } from './format.ts';

type Quota = Pick<RateLimitView, 'remaining' | 'limit' | 'windowSeconds'>;

const FEW = 0.1;

export function formatQuota({ remaining, limit, windowSeconds }: Quota): string {
  const of = limit === undefined ? '' : ` of ${limit}`;
  const per = windowSeconds === undefined ? '' : ` per ${formatSpan(windowSeconds * 1000)}`;
  return `${remaining ?? 'an unknown number'}${of} pulls left${per}`;
}

export function isNearlySpent({ remaining, limit }: Quota): boolean {
  return remaining !== undefined && (remaining === 0 || (limit !== undefined && remaining < limit * FEW));
}

export function quotaFinding(name: string, quota: Quota): Finding {
  const check = `quota of ${name}`;
  if (!isNearlySpent(quota)) return { check, result: 'ok', found: formatQuota(quota) };
  return {
    check,
    result: quota.remaining === 0 ? 'failed' : 'warning',
    found: formatQuota(quota),
    advice: 'give the upstream an account in the configuration, or wait; what is cached is served meanwhile',
  };
}
