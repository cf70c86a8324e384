# SPDX-License-Identifier: Apache-2.0
"""Runs the real server for a test, and speaks to it: over http.client (Client) or byte by byte (Wire).

A server lives in a temporary folder, on a port the kernel chose, without the proxy and CA variables of whoever runs
the tests. Stopping it is part of the test: exit code 0 and no report of a sanitizer.
"""
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
READY = re.compile(r"listening on https?://(.+):(\d+)")


def binary():
    """The program under test: tests/run.sh says which build."""
    path = Path(os.environ.get("MINATO_BINARY", ROOT / "build" / "asan" / "minato")).absolute()
    assert path.exists(), f"{path} is not built: cmake --preset asan && cmake --build --preset asan"
    return path


def clean_environment(**more):
    """What servers and peers get: no proxies, no CA bundles, nothing else that differs between machines."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    env.setdefault("HOME", "/root")
    for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin"):
        if folder not in env["PATH"].split(":"):
            env["PATH"] += ":" + folder
    env.update(more)
    return env


def to_yaml(value, indent=0):
    """Nested dicts, lists and scalars as YAML; enough for a configuration."""
    lines = []
    for key, item in value.items():
        pad = "  " * indent
        if isinstance(item, dict):
            lines.append(f"{pad}{key}:")
            lines.append(to_yaml(item, indent + 1))
        elif isinstance(item, list):
            lines.append(f"{pad}{key}: [{', '.join(json.dumps(str(one)) for one in item)}]")
        elif isinstance(item, bool):
            lines.append(f"{pad}{key}: {'true' if item else 'false'}")
        else:
            lines.append(f"{pad}{key}: {item}")
    return "\n".join(line for line in lines if line)


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


# Where servers keep what they are given, if not in their folders (ceph.Ceph): tests/conftest.py sets it.
STORE = None


class Minato:
    """One server process. Its log is self.log_path; self.data is its storage."""

    def __init__(self, folder=None, data=None, config=None, arguments=(), prefix=(), env=None, program=None):
        self.folder = Path(folder or tempfile.mkdtemp(prefix="minato-test-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.owns_folder = folder is None
        self.data = Path(data or self.folder / "data")
        self.config = config or {}
        self.arguments = list(arguments)
        self.prefix = list(prefix)
        self.env = env or {}
        self.program = program or binary()
        self.process = None
        self.host = "127.0.0.1"
        self.port = None
        self.ready_ms = None
        self.log_path = self.folder / "server.log"

    def command(self, port=0):
        arguments = [*map(str, self.prefix), str(self.program), "serve"]
        config = self.config if STORE is None else STORE.apply(self.config, self.data)
        if config:
            path = self.folder / "minato.yaml"
            path.write_text(to_yaml(config) + "\n")
            arguments += ["--config", str(path)]
        arguments += ["--listen", f"127.0.0.1:{port}", *self.arguments]
        return arguments if {"s3", "s3v2"} & set(config.get("storage", {})) else arguments + ["--data", str(self.data)]

    def environment(self):
        # A leak is looked for at exit; a report goes to its own file, so that no log line can hide it.
        report = self.folder / "sanitizer"
        options = f"log_path={report}:exitcode=99:abort_on_error=0"
        return clean_environment(**{
            "ASAN_OPTIONS": f"{options}:detect_leaks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": f"{options}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{options}:suppressions={ROOT / 'tests' / 'support' / 'tsan.supp'}",
            **self.env,
        })

    def start(self, port=0, wait_s=30):
        begun = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(port), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, env=self.environment(), cwd=self.folder)
        self.early = []
        ready = threading.Event()
        threading.Thread(target=self._pump, args=(self.process, ready), daemon=True).start()
        if not ready.wait(wait_s) or self.port is None:
            code = self.process.poll()
            self.kill()
            raise AssertionError(f"the server is not ready after {wait_s} s (exit code {code})\n{self.log_tail()}")
        self.ready_ms = (time.monotonic() - begun) * 1000
        return self

    def _pump(self, process, ready):
        self.port = None
        with open(self.log_path, "ab", buffering=0) as log:
            for line in process.stdout:
                log.write(line)
                found = READY.search(line.decode(errors="replace"))
                if found and self.port is None:
                    self.port = int(found.group(2))
                    ready.set()
        ready.set()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=40):
        text = "\n".join(self.log_text().splitlines()[-lines:])
        for report in sorted(self.folder.glob("sanitizer*")):
            text += f"\n--- {report.name}\n" + report.read_text(errors="replace")[:8000]
        return text

    def wait_log(self, pattern, wait_s=10):
        """The first match of `pattern` in the log; logs are written a moment after the reply."""
        deadline = time.monotonic() + wait_s
        while True:
            found = re.search(pattern, self.log_text())
            if found:
                return found
            assert time.monotonic() < deadline, f"nothing in the log matches {pattern}\n{self.log_tail()}"
            time.sleep(0.02)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text()).group(1))

    def peak_rss_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text()).group(1))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, wait_s=60):
        return self.process.wait(wait_s)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def stop(self, wait_s=60):
        """SIGTERM; the exit code must be 0 and no sanitizer may have spoken."""
        if self.is_running():
            self.process.terminate()
            try:
                self.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not stop within {wait_s} s\n{self.log_tail()}")
        self.check_clean()

    def check_clean(self):
        reports = sorted(self.folder.glob("sanitizer*"))
        assert not reports, f"a sanitizer reported\n{self.log_tail()}"
        code = self.process.returncode
        assert code == 0, f"the server exited with {code}\n{self.log_tail()}"

    def remove(self):
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **kwargs):
        return Client(self.host, self.port, **kwargs)

    def wire(self, **kwargs):
        return Wire(self.host, self.port, **kwargs)

    def __enter__(self):
        try:
            return self if self.process is not None else self.start()
        except BaseException:
            self.kill()
            self.remove()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                self.kill()
                print(f"--- server log ({self.log_path})\n{self.log_tail()}")
        finally:
            self.remove()


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name):
        return self.headers.get(name)

    def json(self):
        return json.loads(self.body)

    def error_code(self):
        """The code of the one error in the body; the body's form is checked on the way."""
        document = self.json()
        assert set(document) == {"errors"} and len(document["errors"]) >= 1, document
        first = document["errors"][0]
        assert first["code"] and first["code"] == first["code"].upper(), first
        assert first["message"], first
        assert self.header("content-type").startswith("application/json")
        return first["code"]

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


class Client:
    """A registry client over http.client: one connection, kept between requests."""

    def __init__(self, host, port, user=None, password=None, timeout=60, tls=None, protocol=None):
        """`tls`: an ssl.SSLContext. `protocol`: h2 or http/1.1 (what MINATO_TESTS_PROTOCOL says)."""
        self.host, self.port, self.timeout, self.tls = host, port, timeout, tls
        self.protocol = protocol or os.environ.get("MINATO_TESTS_PROTOCOL", "http/1.1")
        self.auth = None
        if user is not None:
            import base64

            self.auth = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.connection = None

    def request(self, method, path, body=None, headers=None, chunked=False):
        headers = dict(headers or {})
        if self.auth and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = self.auth
        if "/manifests/" in path:
            headers.setdefault("Accept", ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST, "*/*")))
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[3]
        for attempt in (0, 1):
            fresh = self.connection is None
            if fresh:
                self.connection = self._connect()
            try:
                response = self._send(method, path, body, headers, chunked)
                reply = Reply(response.status, response.headers, response.read())
            except (http.client.BadStatusLine, ConnectionError):
                # A kept connection may have been closed by the server meanwhile.
                self.close()
                if fresh or attempt == 1 or hasattr(body, "read"):
                    raise
                continue
            except Exception:
                self.close()
                raise
            if response.will_close:
                self.close()
            return reply

    def _connect(self):
        if self.protocol == "h2":
            from http2_client import Http2Connection

            return Http2Connection(self.host, self.port, self.timeout, self.tls)
        if self.tls is not None:
            return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)

    def _send(self, method, path, body, headers, chunked):
        try:
            self.connection.request(method, path, body=body, headers=headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            # Refused while the body was on its way: the answer is there all the same.
            if self.connection.sock is None:
                raise
            response = http.client.HTTPResponse(self.connection.sock, method=method)
            response.begin()
            response.will_close = True
            return response
        return self.connection.getresponse()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def get(self, path, **headers):
        return self.request("GET", path, headers=_names(headers))

    def head(self, path, **headers):
        return self.request("HEAD", path, headers=_names(headers))

    def begin_upload(self, repo, query=""):
        """Opens a session; its Location."""
        reply = self.request("POST", f"/v2/{repo}/blobs/uploads/{query}", headers={"Content-Length": "0"})
        assert reply.status == 202, reply
        return reply.header("location")

    def push_blob(self, repo, data, algorithm="sha256"):
        """As containers/image does: POST, one PATCH, an empty PUT."""
        digest = digest_of(data, algorithm)
        location = self.begin_upload(repo)
        reply = self.request("PATCH", location, body=data, headers={"Content-Type": "application/octet-stream"})
        assert reply.status == 202, reply
        reply = self.request("PUT", with_query(reply.header("location"), digest=digest),
                             headers={"Content-Length": "0"})
        assert reply.status == 201, reply
        return digest

    def put_manifest(self, repo, reference, manifest, media_type=None):
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        media_type = media_type or json.loads(data).get("mediaType", MANIFEST)
        return self.request("PUT", f"/v2/{repo}/manifests/{reference}", body=data, headers={"Content-Type": media_type})

    def push_image(self, repo, tag, layers=(b"layer",), **more):
        """Pushes config, layers and manifest; the manifest's bytes."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        self.push_blob(repo, config.encode())
        for layer in layers:
            self.push_blob(repo, layer)
        data = image_manifest(config.encode(), layers, **more)
        reply = self.put_manifest(repo, tag, data)
        assert reply.status == 201, reply
        assert reply.header("docker-content-digest") == digest_of(data)
        return data


def _names(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


def with_query(location, **values):
    """`location` with more parameters behind those it has."""
    separator = "&" if "?" in location else "?"
    return location + separator + "&".join(f"{name}={value}" for name, value in values.items())


def descriptor(data, media_type):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def image_manifest(config, layers, **more):
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config, CONFIG),
                "layers": [descriptor(layer, LAYER) for layer in layers]}
    document.update(more)
    return json.dumps(document).encode()


class Wire:
    """A connection by hand: what is sent is exactly what the test says."""

    def __init__(self, host, port, timeout=20, receive_buffer=None, tls=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def head(self, method, path, *lines):
        """A request's head; Host is added."""
        return self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: registry", *lines, "", ""]))

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"closed by the server; unread: {self.buffer[:200]!r}")
        self.buffer += data

    def reply(self, method="GET", skip_100=False):
        """The next reply, read to its end by its own framing."""
        while True:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status == 100 and skip_100:
                continue
            break
        headers = http.client.HTTPMessage()
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name] = value.strip()
        body = b""
        if method != "HEAD" and status >= 200 and status not in (204, 304):
            if headers.get("transfer-encoding", "").lower() == "chunked":
                body = self._chunked()
            elif "content-length" in headers:
                body = self._exactly(int(headers["content-length"]))
            else:
                try:
                    while True:
                        self._more()
                except EOFError:
                    body, self.buffer = self.buffer, b""
        return Reply(status, headers, body)

    def _exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _chunked(self):
        body = b""
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                return body
            body += self._exactly(size)
            self._line()

    def is_closed(self, wait_s=10):
        """Whether the server closes the connection within `wait_s` without another byte."""
        deadline = time.monotonic() + wait_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return False
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return True
            if not data:
                return True
            self.buffer += data

    def silent(self, for_s):
        """Whether nothing arrives for a while, not even the end."""
        return not select.select([self.socket], [], [], for_s)[0]

    def send_until_refused(self, total, piece=65536, stall_s=3):
        """Sends up to `total` bytes as long as the server takes them; how many it took (with what sits in buffers)."""
        sent = 0
        data = bytes(piece)
        self.socket.setblocking(False)
        try:
            while sent < total:
                if not select.select([], [self.socket], [], stall_s)[1]:
                    break
                try:
                    sent += self.socket.send(data[: min(piece, total - sent)])
                except BlockingIOError:
                    continue
                except ConnectionError:
                    break
        finally:
            self.socket.settimeout(20)
        return sent

    def reset(self):
        """Closes with RST, as a crashed client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def metrics(text):
    """Prometheus text as {name or name{labels}: value}."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(check, wait_s=10, what="it"):
    deadline = time.monotonic() + wait_s
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not happen within {wait_s} s"
        time.sleep(0.02)
