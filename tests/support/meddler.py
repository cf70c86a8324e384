# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a registry that does what registries should not, or what minato does not: answers that are cut or
changed, tokens, redirects. Reads only; whatever has a body goes to the registry directly."""
import base64
import http.client
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from users import PASSWORD, USER

LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Answer:
    """What the registry said. `cut` bytes of the body are left out, although its length is told."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body, self.cut = status, headers, body, 0


class Meddler:
    """`meddle(method, path, answer)` changes an answer in place. `tokens_last_s`: Bearer tokens are asked for, good for
    one scope. `redirects`: blobs are fetched from /store/, where nobody may show a password."""

    def __init__(self, server, meddle=None, tokens_last_s=None, redirects=False):
        self.server, self.meddle, self.tokens_last_s, self.redirects = server, meddle, tokens_last_s, redirects
        self.token_requests, self.strays = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                outer.handle(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    def handle(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        authorization = handler.headers.get("Authorization")
        if url.path == "/token":
            answer = self.give_token(urllib.parse.parse_qs(url.query), authorization)
        elif url.path.startswith("/store/"):
            if authorization:
                self.strays.append(handler.path)
            answer = self.ask(handler.command, url.path[len("/store"):])
        elif self.tokens_last_s is not None and authorization != self.token_for(url.path):
            scope = self.scope_of(url.path)
            challenge = f'Bearer realm="{self.url}/token",service="meddler"' + (f',scope="{scope}"' if scope else "")
            answer = Answer(401, {"WWW-Authenticate": challenge}, b"")
        elif self.redirects and handler.command == "GET" and "/blobs/" in url.path:
            answer = Answer(307, {"Location": "/store" + handler.path}, b"")
        else:
            answer = self.ask(handler.command, handler.path)
            if self.meddle:
                self.meddle(handler.command, url.path, answer)
        self.reply(handler, answer)

    @staticmethod
    def reply(handler, answer):
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if handler.command != "HEAD":
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body[:len(answer.body) - answer.cut])
            handler.close_connection = handler.close_connection or answer.cut > 0

    def ask(self, method, path):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        try:
            connection.request(method, path, headers={"Authorization": LOGIN, "Accept": "*/*"})
            response = connection.getresponse()
            kept = ["Content-Type", "Docker-Content-Digest", "Link"] + (["Content-Length"] if method == "HEAD" else [])
            headers = {name: response.getheader(name) for name in kept if response.getheader(name)}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    @staticmethod
    def scope_of(path):
        parts = path.split("/")
        return "" if len(parts) < 6 else f"repository:{'/'.join(parts[2:-2])}:pull"

    def token_for(self, path):
        return "Bearer for-" + base64.urlsafe_b64encode(self.scope_of(path).encode()).decode()

    def give_token(self, query, authorization):
        scope = query.get("scope", [""])[0]
        self.token_requests.append((scope, query.get("service"), authorization))
        if authorization != LOGIN:
            return Answer(401, {"WWW-Authenticate": "Basic realm=tokens"}, b"")
        token = "for-" + base64.urlsafe_b64encode(scope.encode()).decode()
        return Answer(200, {"Content-Type": "application/json"},
                      f'{{"token": "{token}", "expires_in": {self.tokens_last_s}}}'.encode())
