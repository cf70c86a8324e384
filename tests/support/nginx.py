# SPDX-License-Identifier: Apache-2.0
"""A real nginx for a test, and deploy/cdn's configuration of one."""
import os
import socket
import subprocess
import time

from minato import ROOT, clean_environment


class Nginx:
    def __init__(self, folder, name, text, port):
        self.port, self.log = port, folder / f"{name}.error.log"
        conf = folder / f"{name}.conf"
        conf.write_text(text)
        user = "user root; " if os.geteuid() == 0 else ""
        self.process = subprocess.Popen(
            ["nginx", "-p", str(folder), "-c", str(conf), "-e", str(self.log), "-g",
             f"{user}daemon off; pid {folder}/{name}.pid;"], env=clean_environment())
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def temporary_paths(folder):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def cache_configuration(folder, port, secret, store, bucket):
    """deploy/cdn's, which keeps what it caches in `folder`."""
    text = (ROOT / "deploy" / "cdn" / "nginx.conf").read_text()
    text = text.replace("SECRET", secret).replace("STORE", store).replace("BUCKET", bucket)
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/var/cache/nginx", str(folder))
    return text.replace("http {", "http {\n" + temporary_paths(folder), 1)
