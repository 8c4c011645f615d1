"""A small web app on Python's standard library: says hello, stops cleanly on SIGTERM."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece, and not as two that wait for each other.
    wbufsize = -1

    def do_GET(self):
        greeting = os.environ.get("GREETING", "Hello")
        release = os.environ.get("WORKFLOW_RELEASE", "v0")
        body = f"{greeting} from {release}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        if self.path != "/quiet":
            print(f"{self.command} {self.path} {code}", flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    port = int(os.environ.get("PORT", "5000"))
    server = Server((os.environ.get("HOST", "127.0.0.1"), port), Hello)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {port}", flush=True)
    server.serve_forever(poll_interval=0.05)
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
