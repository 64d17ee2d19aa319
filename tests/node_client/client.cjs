// A caller that traces with OpenTelemetry, as its documentation has it, and knows nothing of Throughline.
//
//   node client.cjs '{"url": "http://127.0.0.1:3000/orders"}'
//   node client.cjs '{"socketPath": "/run/service.sock", "path": "/orders"}'
//
// It posts {"item": "lamp"} within a span of its own and prints one line of JSON: its trace id, the id of the span of the
// outgoing request, and what came back.
'use strict';

const { NodeSDK, tracing } = require('@opentelemetry/sdk-node');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { SpanKind, trace } = require('@opentelemetry/api');

const finished = new tracing.InMemorySpanExporter();
const sdk = new NodeSDK({
  serviceName: 'node-client',
  instrumentations: [new HttpInstrumentation()],
  spanProcessors: [new tracing.SimpleSpanProcessor(finished)],
  metricReaders: [],
  logRecordProcessors: [],
});
sdk.start();

// Only after the instrumentation: it wraps the module when it is loaded.
const http = require('node:http');

function post({ url, ...options }) {
  const body = JSON.stringify({ item: 'lamp' });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const answered = (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
      response.on('error', reject);
    };
    const all = { ...options, method: 'POST', headers };
    const request = url ? http.request(url, all, answered) : http.request(all, answered);
    request.on('error', reject);
    request.end(body);
  });
}

// The instrumentation ends the span of a request only after those who wait for its answer have been told.
async function requestSpan() {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const span = finished.getFinishedSpans().find((span) => span.kind === SpanKind.CLIENT);
    if (span) return span;
    await new Promise(setImmediate);
  }
  throw new Error('the request has no span: is node:http instrumented?');
}

async function main() {
  const target = JSON.parse(process.argv[2]);
  const answer = await trace.getTracer('node-client').startActiveSpan('checkout', async (span) => {
    try {
      return { trace_id: span.spanContext().traceId, ...(await post(target)) };
    } finally {
      span.end();
    }
  });
  const outgoing = await requestSpan();
  await sdk.shutdown();
  console.log(JSON.stringify({ ...answer, span_id: outgoing.spanContext().spanId }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
