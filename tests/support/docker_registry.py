# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry 2.8, the real program, on a folder or in a bucket of the test's: served, or swept by its garbage
collector."""
import http.client
import subprocess
import tempfile
from pathlib import Path

import minato
from images import Daemon

PROGRAM = "/usr/bin/docker-registry"

# No cache of descriptors: what it answers is what the folder says now. It takes schema 1 and foreign layers, which it
# refuses unless told, as folders have them.
CONFIG = """version: 0.1
log:
  level: warn
storage:
  delete:
    enabled: true
{storage}
http:
  addr: 127.0.0.1:{port}
  secret: test
validation:
  manifests:
    urls:
      allow: [".*"]
compatibility:
  schema1:
    enabled: true
"""


FOLDER = """  filesystem:
    rootdirectory: {root}"""
BUCKET = """  s3:
    accesskey: {store.access_key}
    secretkey: {store.secret_key}
    region: us-east-1
    regionendpoint: {store.endpoint}
    bucket: {store.bucket}
    secure: false
    rootdirectory: /{root}"""


class DockerRegistry:
    """One process over the folder `data`, or over what is below `data` in a bucket of `store`; its configuration and log are
    in a folder of its own."""

    def __init__(self, data, store=None):
        assert Path(PROGRAM).exists(), f"{PROGRAM} is not installed: tests/run.sh installs it"
        self.home = tempfile.TemporaryDirectory(prefix="minato-docker-registry-")
        self.data = data if store else Path(data)
        self.storage = BUCKET.format(store=store, root=data) if store else FOLDER.format(root=data)
        self.host, self.port = "127.0.0.1", None
        self.log = Path(self.home.name) / "log"
        self.daemon = None

    def _configuration(self, port):
        path = Path(self.home.name) / "config.yml"
        path.write_text(CONFIG.format(storage=self.storage, port=port))
        return path

    def start(self):
        self.port = minato.free_port()
        self.daemon = Daemon([PROGRAM, "serve", self._configuration(self.port)], self.log, ready=self._is_ready)
        return self

    def _is_ready(self):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self):
        if self.daemon:
            self.daemon.stop()
            self.daemon = None

    def garbage_collect(self, *flags):
        """Runs the collector over the folder while nobody serves it; what it said."""
        command = [PROGRAM, "garbage-collect", *flags, str(self._configuration(0))]
        done = subprocess.run(command, env=minato.clean_environment(), capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, output[-4000:]
        return output

    def client(self, **kwargs):
        return minato.Client(self.host, self.port, **kwargs)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.home.cleanup()
