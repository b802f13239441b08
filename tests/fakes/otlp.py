"""A collector: takes spans over OTLP/HTTP on a free port of the loopback and keeps them."""

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """What came in; `status` is what it answers, `go` holds its answers back while clear."""

    def __init__(self):
        self.status = 200
        self.go = Event()
        self.go.set()
        self.requests = []
        self.bodies = []
        self.paths = []

    @property
    def spans(self):
        return [span for _, span in self._scoped()]

    @property
    def schema_urls(self):
        return {scope.schema_url for scope, _ in self._scoped()}

    def _scoped(self):
        return [
            (scope, span)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self):
        return attributes(self.requests[0].resource_spans[0].resource)


def attributes(holder):
    """The attributes of a span, event or resource as a dictionary."""
    return {pair.key: _value(pair.value) for pair in holder.attributes}


def _value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [_value(inner) for inner in any_value.array_value.values]
    return getattr(any_value, kind)


@contextmanager
def running_collector():
    """Yield a `Collector` and the URL of its traces endpoint."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.go.wait(60)
            if collector.status == 200:
                collector.paths.append(self.path)
                collector.bodies.append(body)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        collector.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
