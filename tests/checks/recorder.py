"""An OTLP receiver on Google's protobuf and grpcio that keeps every byte it gets. It uses no code of this project."""

import base64
import concurrent.futures
import http.server
import json
import socket
import threading

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service


class Keep:
    """Reads from a stream, and keeps the bytes."""

    def __init__(self, stream, kept):
        self.stream, self.kept = stream, kept

    def read(self, size=-1):
        return self._keep(self.stream.read(size))

    def readline(self, size=-1):
        return self._keep(self.stream.readline(size))

    def _keep(self, data):
        self.kept.extend(data)
        return data

    def __getattr__(self, name):
        return getattr(self.stream, name)


class Recorder:
    """Receives over HTTP at `port`; with `listen=False` the port refuses connections until `listen()`."""

    def __init__(self, port=0, listen=True):
        self.raw = bytearray()
        self.requests = []
        # Any other status is answered to a request that is not kept.
        self.status = 200
        self.changed = threading.Condition()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.rfile = Keep(self.rfile, recorder.raw)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_json = self.headers["Content-Type"] == "application/json"
                if recorder.status == 200:
                    recorder._received(body, is_json)
                answer = b"{}" if is_json else b""
                self.send_response(recorder.status)
                self.send_header("Content-Type", self.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            # An uploader that starts while another one ends must not be refused.
            request_queue_size = 64

        self.server = Server(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.server.server_bind()
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.listening = False
        if listen:
            self.listen()

    def listen(self):
        self.listening = True
        self.server.server_activate()
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        if self.listening:
            self.server.shutdown()
        self.server.server_close()

    def _received(self, body, is_json):
        request = service.ExportTraceServiceRequest()
        if is_json:
            request = from_json(body)
        else:
            request.ParseFromString(body)
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def wait(self, traces, seconds=60):
        with self.changed:
            self.changed.wait_for(lambda: len(self.traces()) >= traces, timeout=seconds)
        return self.traces()

    def traces(self):
        """All received spans by trace id, duplicates included."""
        traces = {}
        for request in self.requests:
            for span in spans(request):
                traces.setdefault(span.trace_id, []).append(span)
        return traces


class GrpcRecorder:
    """Receives over gRPC, and keeps metadata and messages."""

    def __init__(self):
        self.raw = bytearray()
        self.requests = []

        def export(message, context):
            for key, value in context.invocation_metadata():
                self.raw.extend(f"{key}: {value}\n".encode())
            self.raw.extend(message)
            self.requests.append(service.ExportTraceServiceRequest.FromString(message))
            return b""

        handler = grpc.unary_unary_rpc_method_handler(export)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(
                "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler}
            ),
        ))
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self.server.start()

    traces = Recorder.traces

    def close(self):
        self.server.stop(0)


def from_json(body):
    """OTLP/JSON writes ids in hexadecimal; protobuf's JSON uses base64."""

    def ids(value):
        if isinstance(value, dict):
            return {
                key: base64_of(item) if key in ("traceId", "spanId", "parentSpanId") else ids(item)
                for key, item in value.items()
            }
        return [ids(item) for item in value] if isinstance(value, list) else value

    def base64_of(text):
        return base64.b64encode(bytes.fromhex(text)).decode()

    return json_format.ParseDict(ids(json.loads(body)), service.ExportTraceServiceRequest())


def spans(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def attributes(span):
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
        for attribute in span.attributes
    }


class Silent:
    """Accepts connections and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.open.append(self.socket.accept()[0])
            except OSError:
                return

    def hang_up(self):
        """Closes all connections, so that no client waits any longer."""
        while self.open:
            self.open.pop().close()

    def close(self):
        self.socket.close()
        self.hang_up()
