"""Receives OTLP and writes what it gets as lines of JSON: with `http` by oteltap, with `grpc` by grpcio and the services that
are generated from the protocol's own files. Says its port first, and ends with its standard input."""

import asyncio
import json
import os
import socket
import sys
from concurrent import futures


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return attributes(any_value.kvlist_value.values)
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    keys = [pair.key for pair in pairs]
    assert len(keys) == len(set(keys)), f"a key that stands twice: {keys}"
    return {pair.key: value(pair.value) for pair in pairs}


def say(line):
    print(json.dumps(line), flush=True)


def say_span(span, resource=None):
    say({
        "signal": "span",
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": span.status.code,
        "message": span.status.message,
        "attributes": attributes(span.attributes),
        "events": [
            {"name": event.name, "time": event.time_unix_nano, "attributes": attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": attributes(link.attributes),
            }
            for link in span.links
        ],
        "resource": resource,
    })


def say_metric(metric, resource=None):
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    for point in data.data_points:
        line = {
            "signal": "metric",
            "name": metric.name,
            "unit": metric.unit,
            "kind": kind,
            "monotonic": getattr(data, "is_monotonic", None),
            "temporality": getattr(data, "aggregation_temporality", None),
            "attributes": attributes(point.attributes),
            "start": point.start_time_unix_nano,
            "time": point.time_unix_nano,
            "exemplars": [
                {"trace_id": exemplar.trace_id.hex(), "span_id": exemplar.span_id.hex(), "value": exemplar.as_double}
                for exemplar in point.exemplars
            ],
            "resource": resource,
        }
        if kind == "histogram":
            line |= {
                "count": point.count,
                "sum": point.sum,
                "counts": list(point.bucket_counts),
                "bounds": list(point.explicit_bounds),
            }
        else:
            line["value"] = getattr(point, point.WhichOneof("value"))
        say(line)


def say_record(record, resource=None, scope=None):
    say({
        "signal": "log",
        "scope": scope,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "event_name": record.event_name,
        "severity": record.severity_number,
        "body": value(record.body),
        "attributes": attributes(record.attributes),
        "resource": resource,
    })


def serve_grpc():
    import grpc
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            for of_resource in request.resource_spans:
                for of_scope in of_resource.scope_spans:
                    for span in of_scope.spans:
                        say_span(span, attributes(of_resource.resource.attributes))
            say({"signal": "metadata", "of": dict(context.invocation_metadata())})
            return trace_service_pb2.ExportTraceServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request, context):
            for of_resource in request.resource_logs:
                for of_scope in of_resource.scope_logs:
                    for record in of_scope.log_records:
                        say_record(record, attributes(of_resource.resource.attributes), of_scope.scope.name)
            return logs_service_pb2.ExportLogsServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request, context):
            for of_resource in request.resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    for metric in of_scope.metrics:
                        say_metric(metric, attributes(of_resource.resource.attributes))
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    if len(sys.argv) > 2:
        key, certificate = (open(path, "rb").read() for path in sys.argv[2:4])
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say({"port": port})
    sys.stdin.read()
    server.stop(None)


async def serve_http():
    from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

    # It wants to be told one; if another process takes this one in the meantime, the start fails and not a test.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as receiver:
        async def spans():
            async for span in receiver.stream_traces():
                say_span(span)

        async def records():
            async for record in receiver.stream_logs():
                say_record(record)

        async def metrics():
            async for metric in receiver.stream_metrics():
                say_metric(metric)

        tasks = [asyncio.ensure_future(task()) for task in (spans, records, metrics)]
        # Lets both begin to listen before anything is sent.
        await asyncio.sleep(0)
        say({"port": port})
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()


if sys.argv[1] == "grpc":
    serve_grpc()
else:
    asyncio.run(serve_http())
# Threads of the receivers would be waited for.
os._exit(0)
