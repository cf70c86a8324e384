# SPDX-License-Identifier: Apache-2.0
"""The services that give out keys, in one small server: the machine's metadata, a container's, and STS.

What it answers is set by its attributes while it runs; what it was asked is in `asked`.
"""
import datetime
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROLE = "registry@prod"
SESSION = "session-of-imds"
XML = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>
    <Credentials><SessionToken>{Token}</SessionToken><SecretAccessKey>{SecretAccessKey}</SecretAccessKey>
      <Expiration>{Expiration}</Expiration><AccessKeyId>{AccessKeyId}</AccessKeyId></Credentials>
  </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class CredentialServer:
    """Gives out `access_key` and `secret_key`, each time with another session token, for `seconds`."""

    def __init__(self, access_key, secret_key, seconds=3600):
        self.access_key, self.secret_key, self.seconds = access_key, secret_key, seconds
        self.refuse = {}  # the beginning of "METHOD /path" -> a status
        self.garbage = None  # bytes instead of the keys
        self.delay_s = 0
        self.bearer = None  # what Authorization must be
        self.identity = None  # the web identity's token
        self.asked = []
        self.given = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def keys(self):
        self.given += 1
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.seconds)
        return {"Code": "Success", "AccessKeyId": self.access_key, "SecretAccessKey": self.secret_key,
                "Token": f"token-{self.given}-secret", "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def answer(self, method, path, headers, body):
        """Status and bytes."""
        for beginning, status in self.refuse.items():
            if f"{method} {path}".startswith(beginning):
                return status, b"refused"
        folder = "/latest/meta-data/iam/security-credentials/"
        if (method, path) == ("PUT", "/latest/api/token"):
            return (200, SESSION.encode()) if headers["X-aws-ec2-metadata-token-ttl-seconds"] else (400, b"")
        if path.startswith(folder):
            if headers["X-aws-ec2-metadata-token"] != SESSION:
                return 401, b""
            if path == folder:
                return 200, ROLE.encode()
            return self.as_json() if urllib.parse.unquote(path) == folder + ROLE else (404, b"")
        if (method, path) == ("GET", "/container"):
            return self.as_json() if headers["Authorization"] == self.bearer else (403, b"")
        if (method, path) == ("POST", "/"):
            form = dict(urllib.parse.parse_qsl(body.decode()))
            is_right = form == {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
                                "RoleArn": "arn:aws:iam::1:role/registry", "RoleSessionName": "minato",
                                "WebIdentityToken": self.identity}
            return (200, self.garbage or XML.format(**self.keys()).encode()) if is_right else (403, b"<Error/>")
        return 404, b""

    def as_json(self):
        return 200, self.garbage if self.garbage is not None else json.dumps(self.keys()).encode()

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.asked.append(f"{self.command} {self.path}")
                time.sleep(outer.delay_s)
                status, answer = outer.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = reply

            def log_message(self, *arguments):
                pass

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:  # the client had no patience
                    pass

        return Handler
