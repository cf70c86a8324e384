# SPDX-License-Identifier: Apache-2.0
"""A whole registry on one machine: Ceph's gateway, Redis, replicas on one bucket, and nginx in front of them.

    with Topology(replicas=3) as t:
        t.client()                       # through the balancer
        t.replicas[0].kill(), t.store, t.redis, t.balancer_port
"""
import shutil
import socket
import tempfile
from pathlib import Path

import minato
from balancer import Balancer
from ceph import Ceph
from redis_server import RedisServer


class Topology:
    """All of it below one folder, ended by pid, the replicas first. `config` is for every replica; with `port` the balancer
    listens there, and on the ports behind it the replicas, the store and Redis."""

    def __init__(self, replicas=3, config=None, port=None, keep=False):
        ports = list(range(port, port + replicas + 3)) if port else [None] * (replicas + 3)
        self.folder = Path(tempfile.mkdtemp(prefix="minato-cluster-"))
        self.keep = keep
        self.ports = ports
        self.store = Ceph(port=ports[-2], folder=self.folder / "store")
        self.redis = RedisServer(port=ports[-1], folder=self.folder / "redis")
        self.balancer = Balancer(port=ports[0], folder=self.folder / "balancer")
        self.config = config or {}
        # A process group of its own: Ctrl-C is for whoever started this, who then ends all in order.
        self.replicas = [minato.Minato(folder=self.folder / f"replica-{number}", prefix=["setsid"])
                         for number in range(1, replicas + 1)]

    @property
    def balancer_port(self):
        return self.balancer.port

    def client(self, **kwargs):
        return self.balancer.client(**kwargs)

    def __enter__(self):
        try:
            self._check_ports()
            self.store.__enter__()
            self.redis.start()
            for replica, port in zip(self.replicas, self.ports[1:]):
                replica.config = self._configuration()
                replica.start(port or 0)
            self.balancer.start([replica.port for replica in self.replicas])
            for address in [self.balancer, *self.replicas]:
                minato.wait_until(lambda address=address: is_ready(address), 30, "/readyz")
        except BaseException:
            self._end(minato.Minato.kill)
            raise
        return self

    def _check_ports(self):
        for port in filter(None, self.ports):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise OSError(f"port {port} is taken: {error.strerror}") from error

    def _configuration(self):
        http = {"trusted_proxies": "127.0.0.1", **self.config.get("http", {})}
        config = {"redirect": {"enabled": True}, **self.config, "http": http}
        return self.redis.apply(self.store.apply(config, "cluster"))

    def processes(self):
        """What runs, by name: {"replica 1": (pid, port)}."""
        running = {"balancer": (self.balancer.process.pid, self.balancer.port)}
        for number, replica in enumerate(self.replicas, 1):
            running[f"replica {number}"] = (replica.pid, replica.port)
        running["store"] = (self.store.processes["rgw"].pid, self.store.port)
        running["redis"] = (self.redis.process.pid, self.redis.port)
        return running

    def __exit__(self, kind, value, trace):
        self._end(minato.Minato.stop if kind is None else minato.Minato.kill)

    def _end(self, end_replica):
        """In order, and to the end whatever fails: the first failure is raised when nothing runs any more."""
        problem = None
        steps = [self.balancer.stop, *(lambda one=one: end_replica(one) for one in self.replicas if one.is_running()),
                 self.redis.kill, lambda: self.store.__exit__()]
        for step in steps:
            try:
                step()
            except Exception as error:
                problem = problem or error
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if problem:
            raise problem


def is_ready(address):
    """Whether /readyz of a replica, or through the balancer, says so."""
    client = address.client(timeout=5)
    try:
        return client.get("/readyz").status == 200
    except OSError:
        return False
    finally:
        client.close()
