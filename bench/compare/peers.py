# SPDX-License-Identifier: Apache-2.0
"""The registries that are compared, each on a folder and on Ceph's gateway, and why one cannot be had here."""

import contextlib
import json
import os
import re
import subprocess

import go_tools
from servers import DockerRegistry, Minato, Server
from stores import OnStore, Store, StoreDockerRegistry, StoreMinato


class Distribution(DockerRegistry):
    """Version 3 of the same, with the same configuration. Without the variable it looks for a collector of traces."""

    name = "distribution"
    tool = "distribution"

    def environment(self):
        return {**super().environment(), "OTEL_TRACES_EXPORTER": "none"}


class StoreDistribution(Distribution, StoreDockerRegistry):
    """The bucket is in the path by itself in version 2 alone."""

    def storage(self):
        return super().storage() + "\n    forcepathstyle: true"


class Zot(Server):
    """Its default configuration; a line of the log for each request."""

    name = "zot"

    def storage(self):
        return {"rootDirectory": self.root}

    def command(self):
        path = os.path.join(self.scratch, "config.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"distSpecVersion": "1.1.1", "storage": self.storage(), "log": {"level": "info"},
                       "http": {"address": "127.0.0.1", "port": str(self.port)}}, file)
        return [self.tools.zot, "serve", path]

    def environment(self):
        return {**super().environment(), "GOMAXPROCS": "1"}


class StoreZot(OnStore, Zot):
    """What it knows of blobs is in a file of its own: its other caches are services."""

    def storage(self):
        ceph = self.store.ceph
        return {"rootDirectory": self.scratch, "dedupe": True, "remoteCache": False, "storageDriver": {
            "name": "s3", "rootdirectory": "/zot", "region": "us-east-1", "regionendpoint": ceph.endpoint,
            "forcepathstyle": True, "bucket": ceph.bucket, "accesskey": ceph.access_key, "secretkey": ceph.secret_key,
            "secure": False}}


IN_FOLDER = {kind.name: kind for kind in (Minato, DockerRegistry, Distribution, Zot)}
ON_STORE = {kind.name: kind for kind in (StoreMinato, StoreDockerRegistry, StoreDistribution, StoreZot)}
BUILT = ("distribution", "zot")


@contextlib.contextmanager
def serving(bench, store, name, users=False):
    """A fresh server on a fresh store."""
    if store == "filesystem":
        with IN_FOLDER[name](bench.stage, bench.tools, bench.options.where, users=users) as server:
            yield server
    else:
        with Store(bench.stage) as ceph, ON_STORE[name](bench.stage, bench.tools, ceph, users=users) as server:
            yield server


def build(name):
    """(path, None), or (None, why not)."""
    why = go_tools.missing(name)
    if why:
        return None, why
    try:
        return str(go_tools.build(name)), None
    except subprocess.CalledProcessError as error:
        return None, f"go install: {last_word(error.stderr)}"


def last_word(text):
    """What go said at last, each part once, without the address of the proxy it asked."""
    lines = [line for line in text.splitlines() if line and not line.startswith("\t")]
    parts = re.sub(r"reading https?://\S+ ", "", lines[-1].removeprefix("go: ")).split(": ")
    return ": ".join(dict.fromkeys(parts))
