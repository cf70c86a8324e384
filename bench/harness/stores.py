# SPDX-License-Identifier: Apache-2.0
"""Ceph's gateway and Redis beside the load, and the servers that keep what they are given there, each pinned as ever."""

import os
import subprocess
import sys
import time

from processes import LOAD_CORE, BenchError
from protocols import SecureMinato
from servers import DockerRegistry, Minato, Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))

import minato  # noqa: E402
from ceph import Ceph  # noqa: E402
from redis_server import RedisServer, Traffic  # noqa: E402, F401


class Store:
    """A fresh store in memory, and a fresh Redis. Both are on the load's core, as the harness that starts them is."""

    def __init__(self, stage):
        self.stage = stage
        self.ceph = Ceph()
        self.redis = RedisServer()

    def __enter__(self):
        try:
            self.ceph.__enter__()
            self.redis.start()
        except BaseException:
            self.redis.__exit__()
            self.ceph.__exit__()
            raise
        self.ours = [*self.ceph.processes.values(), self.redis.process]
        self.stage.processes.extend(self.ours)  # not a neighbour
        return self

    def __exit__(self, *_):
        self.redis.__exit__()
        self.ceph.__exit__()
        for process in self.ours:
            self.stage.processes.remove(process)

    def coordinates(self):
        """As bench/relay takes them."""
        return [str(self.ceph.port), self.ceph.bucket, self.ceph.access_key, self.ceph.secret_key]

    def settled_requests(self, after=0):
        """The gateway's requests, once no more come: some are made behind the answer they belong to."""
        known = -1
        while known != len(self.ceph.requests()):
            known = len(self.ceph.requests())
            time.sleep(0.5)
        return self.ceph.requests(after)

    def use_cores(self, cores):
        """Preparing may use both; what is measured may not."""
        for process in self.ours:
            subprocess.run(["taskset", "-a", "-c", "-p", cores, str(process.pid)], check=True, capture_output=True)

    def put_links(self, folder, count, content):
        """`count` objects folder/build-NNNNNN/current/link, by the one curl there is for that."""
        path = os.path.join(str(self.ceph.folder), "link")
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        self.use_cores(f"0,{LOAD_CORE}")
        url = f"{self.ceph.endpoint}/{self.ceph.bucket}/{folder}/build-[000000-{count - 1:06d}]/current/link"
        out = self.stage.run(
            ["taskset", "-c", f"0,{LOAD_CORE}", "curl", "-sS", "-Z", "--parallel-max", "32", "--parallel-immediate",
             "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{self.ceph.access_key}:{self.ceph.secret_key}", "-H",
             "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T", path, url, "-o", "/dev/null", "-w", "%{http_code}\n"], 1200)
        self.use_cores(str(LOAD_CORE))
        if out.split().count("200") != count:
            raise BenchError(f"{count - out.split().count('200')} of {count} links were not written")


class OnStore(Server):
    keeps_blobs = False

    def __init__(self, stage, tools, store, users=False):
        super().__init__(stage, tools, users=users)
        self.store = store


class StoreMinato(OnStore, Minato):
    """Readers are sent to the store, as by default."""

    def configuration(self):
        auth = {"htpasswd": {"file": self.htpasswd}} if self.htpasswd else {"anonymous": "push"}
        config = {"http": {"loops": 1}, "auth": auth, "redirect": {"enabled": True}}
        return self.store.redis.apply(self.store.ceph.apply(config, "bench"))

    def prefix(self):
        return self.configuration()["storage"]["s3"]["prefix"]

    def command(self):
        path = os.path.join(self.scratch, "minato.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write(minato.to_yaml(self.configuration()) + "\n")
        return [self.tools.minato, "serve", "--config", path, "--listen", f"127.0.0.1:{self.port}"]


class SecureStoreMinato(SecureMinato, StoreMinato):
    pass


class StoreDockerRegistry(OnStore, DockerRegistry):
    """No health check: it would be counted among the requests."""

    health = ""

    def storage(self):
        ceph = self.store.ceph
        return "\n".join(["  s3:", f"    accesskey: {ceph.access_key}", f"    secretkey: {ceph.secret_key}",
                          "    region: us-east-1", f"    regionendpoint: {ceph.endpoint}", f"    bucket: {ceph.bucket}",
                          "    secure: false", "    rootdirectory: /peer"])


class Relay(OnStore):
    name = "minimal relay"
    has_access_log = False

    def command(self):
        return [self.tools.relay, "serve", str(self.port), *self.store.coordinates()]
