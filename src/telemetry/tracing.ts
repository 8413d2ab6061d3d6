/** Whether there are traces, by the standard variables of OpenTelemetry: without them, none of it is loaded. */
import type { Tracer } from '../lib/trace.ts';
import type { Environment, TracingOptions } from './otel-settings.ts';

/** OpenTelemetry specification, "Environment Variable Specification". */
const SWITCHES = [
  'OTEL_TRACES_EXPORTER',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
] as const;

/** @throws Error where the variables ask for what there is not */
export async function openTracer(env: Environment, options: TracingOptions): Promise<Tracer | undefined> {
  if (!isTracing(env)) return undefined;
  const { createOtelTracer } = await import('./otel-tracer.ts');
  return createOtelTracer(env, options);
}

function isTracing(env: Environment): boolean {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return false;
  if (env['OTEL_TRACES_EXPORTER']?.trim() === 'none') return false;
  return SWITCHES.some((name) => (env[name] ?? '').trim() !== '');
}
