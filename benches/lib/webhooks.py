"""A webhook server: answers every admission review with "allowed", over TLS.

    webhooks.py PORT CERT KEY

Reads the pair anew when it has changed, as webhook servers do.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        # In the connection's own thread: a slow client holds up nobody else.
        self.request = self.server.context().wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {
            "apiVersion": review["apiVersion"],
            "kind": review["kind"],
            "response": {"uid": review["request"]["uid"], "allowed": True},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, cert: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.cert, self.key, self.loaded = cert, key, None

    def context(self) -> ssl.SSLContext:
        current = self.cert.resolve()
        if self.loaded is None or self.loaded[0] != current:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert, self.key)
            self.loaded = current, context
        return self.loaded[1]

    def handle_error(self, *_) -> None:
        # A client that hangs up in the handshake says why on its own side.
        pass


if __name__ == "__main__":
    server = Server(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    print("listening", flush=True)
    server.serve_forever()
