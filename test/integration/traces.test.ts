/** Traces by OpenTelemetry, as a collector gets them. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openTracer } from '../../src/telemetry/tracing.ts';
import { Collector } from '../support/collector.ts';
import { Command, serveEnv } from '../support/command.ts';
import { buildImage } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const IMAGE = buildImage();

/** A mirror that traces to a collector, until `work` is done and all is handed on. */
async function traced(
  work: (mirror: { readonly url: string }, upstream: ScriptedUpstream) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
) {
  const upstream = await ScriptedUpstream.start();
  onTestFinished(() => upstream.close());
  upstream.push('library/alpine', '3', IMAGE);
  await using collector = await Collector.start();
  // Of these variables the SDK reads some by itself.
  const variables = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', ...env };
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.url);
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const onError = (error: Error) => expect.unreachable(error.message);
  const tracer = await openTracer(process.env, { version: '0.0.0-test', onError });
  await using mirror = await startMirror({ upstreamUrl: upstream.url, tracer });
  await work(mirror, upstream);
  await mirror.close();
  await tracer!.close();
  return { spans: collector.spans, contentTypes: collector.contentTypes, requests: upstream.requests };
}

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CLIENT_SPAN = 'b7ad6b7169203331';

describe('traces', () => {
  it('show a request, what was asked of upstream for it, and carry the trace on', async () => {
    const { spans, requests } = await traced(async ({ url }) => {
      const response = await fetch(`${url}/v2/library/alpine/manifests/3`, {
        headers: { traceparent: `00-${TRACE_ID}-${CLIENT_SPAN}-01` },
      });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    });
    const server = spans.find(({ kind }) => kind === 2)!;
    expect(server).toMatchObject({
      name: 'GET manifest',
      traceId: TRACE_ID,
      parentSpanId: CLIENT_SPAN,
      attributes: {
        'http.response.status_code': 200,
        'entrepot.repository': 'library/alpine',
        'entrepot.source': 'miss',
      },
      resource: { 'service.name': 'entrepot', 'service.version': '0.0.0-test' },
    });
    const asked = spans.filter(({ kind }) => kind === 3);
    expect(asked.length).toBeGreaterThan(0);
    for (const { traceId, parentSpanId } of asked) {
      expect({ traceId, parentSpanId }).toEqual({ traceId: TRACE_ID, parentSpanId: server.spanId });
    }
    const carried = requests.map(({ headers }) => headers['traceparent']);
    expect(carried).toEqual(asked.map(({ spanId }) => `00-${TRACE_ID}-${spanId}-01`));
  });

  it('show what failed at upstream, and why', async () => {
    const { spans } = await traced(async ({ url }, upstream) => {
      upstream.fault({ kind: 'manifest' }, { reply: { status: 500 } }, 100);
      const response = await fetch(`${url}/v2/library/alpine/manifests/3`);
      expect(response.status).toBe(503);
      await response.arrayBuffer();
    });
    const statuses = spans.filter(({ kind }) => kind === 3).map(({ status }) => status);
    expect(statuses).toContainEqual({ code: 2, message: '500' });
    expect(spans.find(({ kind }) => kind === 2)!.status.code).toBe(2);
  });

  it('show what was answered from memory', async () => {
    const { spans } = await traced(async ({ url }) => {
      for (let count = 0; count < 3; count += 1)
        await (await fetch(`${url}/v2/library/alpine/manifests/3`)).arrayBuffer();
    });
    const sources = spans.filter(({ kind }) => kind === 2).map((span) => span.attributes['entrepot.source']);
    expect(sources).toEqual(['miss', 'hit', 'hit']);
  });

  it('leave out what the sampler leaves out', async () => {
    const { spans } = await traced(
      async ({ url }) => {
        await (await fetch(`${url}/v2/`)).arrayBuffer();
      },
      { OTEL_TRACES_SAMPLER: 'always_off' },
    );
    expect(spans).toEqual([]);
  });

  it('that a collector refuses are told of once, in plain words, and fail no stop', async () => {
    const upstream = await ScriptedUpstream.start();
    onTestFinished(() => upstream.close());
    await using collector = await Collector.start();
    collector.status = 400;
    await using directory = await tempDir();
    await using command = Command.start(['serve'], {
      cwd: directory.path,
      env: {
        ...serveEnv({ upstreamUrl: upstream.url }),
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        ...{ OTEL_BSP_SCHEDULE_DELAY: '3600000', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '2' },
      },
    });
    await command.until('listening');
    const { registry } = command.log.find(({ msg }) => msg === 'listening')!;
    // The last of them goes out only when it stops.
    for (const batches of [0, 1, 1, 2, 2]) {
      await (await fetch(`${String(registry)}/v2/`)).arrayBuffer();
      await expect.poll(() => collector.contentTypes).toHaveLength(batches);
    }
    command.kill('SIGTERM');
    expect((await command.exited).code).toBe(0);
    const told = command.log.filter(({ msg }) => msg === 'traces can not be handed on');
    expect(told.map(({ err }) => (err as Error).message)).toEqual(['Bad Request']);
  });

  it('go out as protobuf unless told otherwise', async () => {
    const { contentTypes } = await traced(
      async ({ url }) => {
        await (await fetch(`${url}/v2/`)).arrayBuffer();
      },
      { OTEL_EXPORTER_OTLP_PROTOCOL: '' },
    );
    expect(contentTypes).toContain('application/x-protobuf');
  });

  it.each([
    ['OTEL_TRACES_SAMPLER', 'sometimes'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
  ])('end the start where %s is %s', async (name, value) => {
    await using directory = await tempDir();
    const command = Command.start(['serve'], {
      cwd: directory.path,
      env: {
        ...{ ENTREPOT_LISTEN: '127.0.0.1:0', ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0' },
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
        [name]: value,
      },
    });
    expect((await command.exited).code).toBe(78);
    expect(command.stderr).toContain(`${name} is ${value}`);
  });

  it.each([
    {},
    { OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' },
    { OTEL_TRACES_EXPORTER: 'none' },
  ])('are not even loaded with %j', async (env) => {
    expect(await openTracer(env, { version: '1', onError: () => undefined })).toBeUndefined();
  });
});
