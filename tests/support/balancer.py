# SPDX-License-Identifier: Apache-2.0
"""nginx in front of replicas, with the configuration that deploy/local shows."""
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import minato

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Balancer:
    """One nginx; the replicas are named when it starts."""

    def __init__(self, port=None, folder=None):
        self.home = None if folder else tempfile.TemporaryDirectory(prefix="minato-balancer-")
        self.folder = Path(folder or self.home.name)
        self.port = port or minato.free_port()
        self.log_path = self.folder / "nginx.log"
        self.process = None

    def _configuration(self, ports):
        replicas = "\n        ".join(f"server 127.0.0.1:{port};" for port in ports)
        folders = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in TEMPORARY)
        text = (minato.ROOT / "deploy" / "local" / "nginx.conf").read_text()
        text = text.replace("        REPLICAS\n", f"        {replicas}\n")
        text = text.replace("listen PORT;", f"listen 127.0.0.1:{self.port};")
        return text.replace("http {\n", f"http {{\n    {folders}\n", 1)

    def start(self, ports):
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "nginx.conf"
        path.write_text(self._configuration(ports))
        user = "user root; " if os.geteuid() == 0 else ""
        self.process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-c", str(path), "-e", str(self.log_path), "-g",
             f"{user}daemon off; pid {self.folder}/nginx.pid;"], env=minato.clean_environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
        minato.wait_until(self._is_ready, 20, "nginx")
        return self

    def _is_ready(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-2000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def client(self, **kwargs):
        return minato.Client("127.0.0.1", self.port, **kwargs)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.home:
            self.home.cleanup()
