# SPDX-License-Identifier: Apache-2.0
"""Redis servers that stand in for one another: a primary with a replica watched by Sentinels, and a cluster."""
import subprocess
import tempfile
from pathlib import Path

import minato
from redis_server import RedisServer

NODE_TIMEOUT_MS = 1000
CLUSTER = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]


class Group:
    """Servers of one folder, all killed at the end."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory(prefix="minato-redis-")
        self.servers = []

    def add(self, *arguments, **kwargs):
        server = RedisServer(folder=Path(self.home.name) / str(len(self.servers)), arguments=arguments, **kwargs)
        self.servers.append(server)
        return server.start()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in reversed(self.servers):
            server.kill()
        self.home.cleanup()


class Watched(Group):
    """A primary, its replica, and three Sentinels who agree within a second or two when the primary is gone."""

    name = "primary"

    def start(self):
        self.primary = self.add()
        self.replica = self.add("--replicaof", f"127.0.0.1 {self.primary.port}")
        minato.wait_until(lambda: self.replica.info("replication")["master_link_status"] == "up", 20, "the replica")
        self.sentinels = [self._add_sentinel(number) for number in range(3)]
        minato.wait_until(self._is_watched, 20, "the Sentinels")

    def _add_sentinel(self, number):
        configuration = Path(self.home.name) / f"sentinel-{number}.conf"
        configuration.write_text(f"sentinel monitor {self.name} 127.0.0.1 {self.primary.port} 2\n"
                                 f"sentinel down-after-milliseconds {self.name} {NODE_TIMEOUT_MS}\n"
                                 f"sentinel failover-timeout {self.name} 5000\n")
        return self.add("--sentinel", configuration=configuration)

    def _is_watched(self):
        known = [sentinel.info("sentinel")["master0"] for sentinel in self.sentinels]
        return all("slaves=1" in text and "sentinels=3" in text for text in known)

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + f"/{self.name}"


class Cluster(Group):
    """Three primaries, each with a replica that takes over when it is gone. `arguments` for each of them."""

    def __init__(self, *arguments):
        super().__init__()
        self.arguments = arguments

    def start(self):
        for _ in range(6):
            self.add(*CLUSTER, "--cluster-port", str(minato.free_port()), *self.arguments)
        addresses = [f"127.0.0.1:{server.port}" for server in self.servers]
        done = subprocess.run(["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1",
                               "--cluster-yes"], capture_output=True, text=True, timeout=60,
                              env=minato.clean_environment())
        assert done.returncode == 0, done.stdout + done.stderr
        minato.wait_until(self.is_whole, 30, "the cluster")

    def is_whole(self):
        """Every slot is somebody's, and every replica has what its primary has."""
        running = [server for server in self.servers if server.is_running()]
        links = [server.info("replication").get("master_link_status", "up") for server in running]
        return all(self._state(server) == "ok" for server in running) and set(links) == {"up"}

    @staticmethod
    def _state(server):
        lines = server.command("CLUSTER", "INFO").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)["cluster_state"]

    def owner(self, key):
        """The primary that has this key's slot."""
        asked = next(server for server in reversed(self.servers) if server.is_running())
        slot = asked.command("CLUSTER", "KEYSLOT", key)
        for first, last, primary, *_ in asked.command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:2])
