/** Traces by OpenTelemetry's SDK. The only file that imports it, and loaded only where its variables ask for it. */
import {
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span as OtelSpan,
  type Tracer as Otel,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ConsoleSpanExporter,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace';
import { Seldom } from '../lib/seldom.ts';
import type { Attributes, Span, SpanOutcome, Tracer } from '../lib/trace.ts';
import {
  readOtelSettings,
  type Environment,
  type OtelSettings,
  type SamplerSetting,
  type TracingOptions,
} from './otel-settings.ts';

/** An exporter that can't reach its collector says so for each batch, and would fill the log with it. */
const TOLD_MS = 5 * 60_000;

/** @throws Error where the variables ask for what there is not */
export function createOtelTracer(env: Environment, { version, onError }: TracingOptions): Tracer {
  const settings = readOtelSettings(env);
  const seldom = new Seldom(Date.now, TOLD_MS);
  const tell = (message: string, ...details: unknown[]) => {
    if (seldom.take('tracing') === undefined) return;
    onError(new Error([messageIn(message), ...details.map(String)].join(' ')));
  };
  const silent = () => undefined;
  diag.setLogger(
    { error: tell, warn: tell, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const provider = new TracerProvider({
    // What the environment says comes last, and wins.
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'entrepot', 'service.version': version }))
      .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })),
    sampler: samplerOf(settings.sampler),
    spanProcessors: [new BatchSpanProcessor({ exporter: exporterOf(settings), ...settings.batch })],
  });
  const otel = provider.getTracer('entrepot', version);
  const propagator = new W3CTraceContextPropagator();
  const carry = (within: Context): Record<string, string> => {
    const headers: Record<string, string> = {};
    propagator.inject(within, headers, {
      set: (carrier: Record<string, string>, name, value) => void (carrier[name] = value),
    });
    return headers;
  };
  return {
    begin: (name, headers) => {
      const parent = propagator.extract(ROOT_CONTEXT, headers, {
        get: (carrier: typeof headers, header) => carrier[header],
        keys: (carrier: typeof headers) => Object.keys(carrier),
      });
      return spanOf({ otel, carry }, otel.startSpan(name, { kind: SpanKind.SERVER }, parent), parent);
    },
    close: async () => {
      await provider.shutdown().catch((error: unknown) => tell((error as Error).message));
      diag.disable();
    },
  };
}

/** Of an error it is told as JSON, with its stack and all else. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    return typeof message === 'string' ? message : text;
  } catch {
    return text;
  }
}

interface Tools {
  readonly otel: Otel;
  readonly carry: (within: Context) => Record<string, string>;
}

function spanOf(tools: Tools, span: OtelSpan, parent: Context): Span {
  const own = trace.setSpan(parent, span);
  return {
    headers: tools.carry(own),
    begin: (name: string, attributes: Attributes) =>
      spanOf(
        tools,
        tools.otel.startSpan(name, { kind: SpanKind.CLIENT, attributes: { ...attributes } }, own),
        own,
      ),
    end: ({ name, attributes, failure }: SpanOutcome) => {
      if (name !== undefined) span.updateName(name);
      span.setAttributes({ ...attributes });
      if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      span.end();
    },
  };
}

function exporterOf({ exporter, protocol }: OtelSettings) {
  if (exporter === 'console') return new ConsoleSpanExporter();
  return protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter();
}

function samplerOf({ isParentBased, ratio }: SamplerSetting): Sampler {
  const root =
    ratio === 0
      ? new AlwaysOffSampler()
      : ratio === 1
        ? new AlwaysOnSampler()
        : new TraceIdRatioBasedSampler(ratio);
  return isParentBased ? new ParentBasedSampler({ root }) : root;
}
