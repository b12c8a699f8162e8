"""An etcd that misbehaves: a proxy in front of a real one, which does to a request what the test says."""
import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # whoever asked has gone


class EtcdProxy:
    """FAULT, where set, is asked for each request with its path and body. It says None (pass it on), or:
    "hang"         nothing happens, until the proxy is mended
    "cut"          the connection is closed, nothing is passed on
    "lose"         it is passed on, the answer is not: the connection is closed
    ("slow", s)    passed on after S seconds
    ("late", s)    passed on after S seconds, and the answer lost
    (status, text) is the answer, nothing is passed on"""

    def __init__(self, etcd):
        self.target = urlparse(etcd.endpoints[0])
        self.fault, self.mended, self.is_over = None, threading.Event(), False
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.endpoints = [f"http://127.0.0.1:{self.server.server_port}"]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, fault):
        self.mended.clear()
        self.fault = fault

    def mend(self):
        self.fault = None
        self.mended.set()

    def close(self):
        self.is_over = True
        self.mend()
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def say(self, status, text):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = proxy.fault(self.path, body) if proxy.fault else None
                if fault == "hang":
                    proxy.mended.wait()
                    self.close_connection = True
                elif fault == "cut":
                    self.close_connection = True
                elif isinstance(fault, tuple) and isinstance(fault[0], int):
                    self.say(*fault)
                else:
                    if isinstance(fault, tuple):
                        time.sleep(fault[1])
                    self.pass_on(body, fault == "lose" or (isinstance(fault, tuple) and fault[0] == "late"))

            def pass_on(self, body, is_lost):
                c = http.client.HTTPConnection(proxy.target.hostname, proxy.target.port, timeout=60)
                c.request("POST", self.path, body, {k: v for k, v in self.headers.items() if k in ("Authorization", "Content-Type")})
                r = c.getresponse()
                if is_lost:
                    r.read()
                    self.close_connection = True
                elif self.path == "/v3/watch":
                    self.stream(r)
                else:
                    self.say(r.status, r.read())
                c.close()

            def stream(self, r):
                self.send_response(r.status)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while not proxy.is_over and (more := r.read1(65536)):
                    while proxy.fault and proxy.fault(self.path, None) == "hang":
                        proxy.mended.wait(0.1)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(more), more))
                self.close_connection = True
        return Handler
