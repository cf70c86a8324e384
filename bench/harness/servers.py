# SPDX-License-Identifier: Apache-2.0
"""The three servers, each with one way to start: on one core, one event loop, access log on (the ceiling has none)."""

import http.client
import os
import socket
import subprocess
import time

from processes import BenchError, clean_environment, cpu_seconds, free_port, pinned, status_kib

USER, PASSWORD = "bench", "bench-password"


def write_htpasswd(folder):
    path = os.path.join(folder, "htpasswd")
    text = subprocess.run(["htpasswd", "-nbB", "-C", "10", USER, PASSWORD], check=True, capture_output=True, text=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text.stdout.strip() + "\n")
    return path


class Server:
    """A running server. `root`: where it keeps blobs; `scratch`: its configuration and log, on tmpfs."""

    name = None
    keeps_blobs = True
    has_access_log = True
    start_seconds = 10

    def __init__(self, stage, tools, where="tmpfs", users=False, head_bytes=0):
        self.stage = stage
        self.tools = tools
        self.head_bytes = head_bytes
        self.port = free_port()
        self.scratch = stage.folder("tmpfs")
        self.root = stage.folder(where) if self.keeps_blobs else None
        self.htpasswd = write_htpasswd(self.scratch) if users else None
        self.log_path = os.path.join(self.scratch, "log")
        self.log = open(self.log_path, "ab", buffering=0)
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return clean_environment()

    def start(self):
        self.process = self.stage.start(
            pinned(self.command()), env=self.environment(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/v2/")
                return self
            except OSError:
                time.sleep(0.01)
        raise BenchError(f"{self.name} did not start:\n{self.log_tail()}")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def response_head_bytes(self, path):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            seen = b""
            while b"\r\n\r\n" not in seen:
                piece = connection.recv(65536)
                if not piece:
                    raise BenchError(f"{self.name}: no head")
                seen += piece
            return seen.index(b"\r\n\r\n") + 4

    def stop(self):
        self.stage.end(self.process)
        self.log.close()
        for folder in filter(None, (self.scratch, self.root)):
            self.stage.remove(folder)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def rss_kib(self):
        return status_kib(self.pid, "VmRSS")

    def peak_rss_kib(self):
        return status_kib(self.pid, "VmHWM")

    def clear_log(self):
        os.truncate(self.log_path, 0)

    def log_lines(self):
        out = subprocess.run(["wc", "-l", self.log_path], check=True, capture_output=True, text=True)
        return int(out.stdout.split()[0])

    def log_tail(self):
        with open(self.log_path, "rb") as log:
            return log.read()[-2000:].decode(errors="replace")


class Minato(Server):
    name = "minato"

    def command(self):
        config = os.path.join(self.scratch, "minato.yaml")
        lines = ["http:", "  loops: 1", "auth:"]
        if self.htpasswd:
            lines += ["  anonymous: none", "  htpasswd:", f"    file: {self.htpasswd}"]
        else:
            lines += ["  anonymous: push"]
        with open(config, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        return [self.tools.minato, "serve", "--config", config, "--listen", f"127.0.0.1:{self.port}", "--data",
                self.root]


class DockerRegistry(Server):
    """Debian's default configuration (in-memory blob descriptors, health check), one access log line a request."""

    name = "docker-registry"
    tool = "docker_registry"
    health = """health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""

    def storage(self):
        return f"  filesystem:\n    rootdirectory: {self.root}"

    def command(self):
        config = os.path.join(self.scratch, "config.yml")
        text = """version: 0.1
log:
  level: error
storage:
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
%s
http:
  addr: 127.0.0.1:%d
  secret: bench
%s""" % (self.storage(), self.port, self.health)
        if self.htpasswd:
            text += f"auth:\n  htpasswd:\n    realm: bench\n    path: {self.htpasswd}\n"
        with open(config, "w", encoding="ascii") as file:
            file.write(text)
        return [getattr(self.tools, self.tool), "serve", config]

    def environment(self):
        return clean_environment(GOMAXPROCS="1")


class BareH2o(Server):
    name = "bare libh2o"
    keeps_blobs = False
    has_access_log = False

    def command(self):
        return [self.tools.bare_h2o, str(self.port), str(self.head_bytes)]
