/** What the standard variables of OpenTelemetry say that its SDK does not read by itself: exporter, sampler, batches. */

export type Environment = Readonly<Record<string, string | undefined>>;

export interface TracingOptions {
  readonly version: string;
  /** Told of an exporter that can't hand on what it has. */
  readonly onError: (error: Error) => void;
}

export interface OtelSettings {
  readonly exporter: 'otlp' | 'console';
  readonly protocol: 'http/protobuf' | 'http/json';
  readonly sampler: SamplerSetting;
  /** Milliseconds and spans; the SDK's own where they are not given. */
  readonly batch: {
    readonly scheduledDelayMillis?: number;
    readonly exportTimeoutMillis?: number;
    readonly maxQueueSize?: number;
    readonly maxExportBatchSize?: number;
  };
}

export interface SamplerSetting {
  /** Traces that somebody else began are followed where he follows them. */
  readonly isParentBased: boolean;
  /** Of the traces that begin here: 0 to 1. */
  readonly ratio: number;
}

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;

/** @throws Error that names the variable and what it may be */
export function readOtelSettings(env: Environment): OtelSettings {
  return {
    exporter: choiceOf(env, ['OTEL_TRACES_EXPORTER'], ['otlp', 'console']),
    protocol: choiceOf(
      env,
      ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'],
      ['http/protobuf', 'http/json'],
    ),
    sampler: samplerOf(env),
    batch: {
      ...numberOf(env, 'OTEL_BSP_SCHEDULE_DELAY', 'scheduledDelayMillis'),
      ...numberOf(env, 'OTEL_BSP_EXPORT_TIMEOUT', 'exportTimeoutMillis'),
      ...numberOf(env, 'OTEL_BSP_MAX_QUEUE_SIZE', 'maxQueueSize'),
      ...numberOf(env, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 'maxExportBatchSize'),
    },
  };
}

function samplerOf(env: Environment): SamplerSetting {
  const names = [...SAMPLERS, ...SAMPLERS.map((name) => `parentbased_${name}` as const)];
  const name = choiceOf(env, ['OTEL_TRACES_SAMPLER'], ['parentbased_always_on', ...names]);
  const text = env['OTEL_TRACES_SAMPLER_ARG']?.trim() ?? '';
  const ratio = text === '' ? 1 : Number(text);
  if (!(ratio >= 0 && ratio <= 1)) throw new Error(`OTEL_TRACES_SAMPLER_ARG is ${text}, and not 0 to 1`);
  const isParentBased = name.startsWith('parentbased_');
  if (name.endsWith('always_off')) return { isParentBased, ratio: 0 };
  return { isParentBased, ratio: name.endsWith('traceidratio') ? ratio : 1 };
}

/** Of the first variable that is set; the first choice where none is. */
function choiceOf<T extends string>(
  env: Environment,
  names: readonly string[],
  choices: readonly [T, ...T[]],
): T {
  for (const name of names) {
    const text = env[name]?.trim() ?? '';
    if (text === '') continue;
    const choice = choices.find((known) => known === text);
    if (choice === undefined)
      throw new Error(`${name} is ${text}; it may be ${[...new Set(choices)].join(', ')}`);
    return choice;
  }
  return choices[0];
}

function numberOf<K extends string>(env: Environment, name: string, key: K): Partial<Record<K, number>> {
  const text = env[name]?.trim() ?? '';
  if (text === '') return {};
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is ${text}, and not a whole number`);
  return { [key]: Number(text) } as Partial<Record<K, number>>;
}
