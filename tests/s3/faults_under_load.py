# SPDX-License-Identifier: Apache-2.0
"""Everything that can break, broken while clients push, delete, pull and list: nothing that was acknowledged is lost, no
answer is wrong at any time, and how long it takes until all is as before."""
import contextlib
import re
import statistics
import threading
import time

import pytest
from bucket import Bucket
from cable import Cable
from fault_store import FaultStore, answer
from load import Load
from minato import Minato, digest_of, wait_until
from skewed import Skewed
from topology import Topology
from users import login, write_htpasswd

# Beyond what any recovery was seen to take, on a machine that is busy with other things.
RECOVERY_MAX_S = 20
# storage-drivers/s3/README.md, rule 1; REDIS_DEADLINE_MS; the least that index.redis.ttl may be.
CALL_MAX_S, DEADLINE_S, TTL_S = 20, 0.5, 10
SETTLE_S = 3  # src/index/redis.c: so long Redis is not believed when it is back


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    users = write_htpasswd(tmp_path_factory.mktemp("users") / "users")
    config = {"uploads": {"part_size": "5MiB"}, "auth": {"anonymous": "push", "htpasswd": {"file": users}}}
    with Topology(replicas=3, config=config) as topology:
        yield topology
        Bucket(topology.store, topology.replicas[0].config["storage"]["s3"]["prefix"]).check_blobs()


@contextlib.contextmanager
def running(*servers):
    """Servers of a scenario's own."""
    try:
        for server in servers:
            server.start()
        yield servers
        for server in servers:
            server.stop()
    finally:
        for server in servers:
            server.kill()
            server.remove()


@contextlib.contextmanager
def broken(how, mend):
    """It is while the block runs; whatever happens there, it is mended."""
    how()
    try:
        yield
    finally:
        mend()


class Watch:
    """What servers say from now on."""

    def __init__(self, *servers):
        self.servers = {server: len(server.log_text()) for server in servers}

    def said(self, pattern):
        """How many of them said it."""
        return sum(bool(re.search(pattern, server.log_text()[at:])) for server, at in self.servers.items())

    def wait(self, pattern, wait_s=20, count=None):
        """Until all, or `count`, have said it."""
        count = len(self.servers) if count is None else count
        wait_until(lambda: self.said(pattern) >= count, wait_s, f"{pattern} in the log of {count}")


def check_stale(load, watch):
    """Nothing was, unless a machine that stood still cut a replica off Redis, which may cost what such a fault may."""
    load.check_stale(TTL_S if watch.said("index.unreachable") else 0)


def timed(server, method, path):
    """(status, seconds, text) of one request, on a connection of its own."""
    client = login(server)
    begun = time.monotonic()
    reply = client.request(method, path, headers={"Content-Length": "0"} if method == "POST" else {})
    seconds = time.monotonic() - begun
    client.close()
    return reply.status, seconds, reply.body.decode(errors="replace")


def begin_upload(server):
    """What needs the store."""
    return timed(server, "POST", "/v2/beside/uploads/blobs/uploads/")


def check_clear_503(answered):
    status, _, text = answered
    assert status == 503 and '"UNAVAILABLE"' in text and "the store is out of reach" in text, answered


def is_ready(server):
    return timed(server, "GET", "/readyz")[0] == 200


class Warm:
    """An image that the index knows: reading it takes no store."""

    def __init__(self, servers, repo):
        self.servers, self.tag = servers, f"/v2/{repo}/manifests/latest"
        client = login(servers[0])
        client.push_image(repo, "latest", layers=(b"warm",))
        client.close()
        self.blob = f"/v2/{repo}/blobs/{digest_of(b'warm')}"
        self.check()

    def check(self, within_s=60):
        for server in self.servers:
            for path, wanted in (("/v2/", 200), (self.tag, 200), (self.blob, 307)):
                status, seconds, text = timed(server, "GET", path)
                assert status == wanted and seconds < within_s, (path, status, seconds, text)


@pytest.fixture
def report(record_property):
    def tell(name, value):
        print(f"{name}: {value if isinstance(value, str) else round(value, 2)}")
        record_property(name, value)

    return tell


def now():
    return time.monotonic()


# ---- a replica ----

def test_a_replica_is_killed(cluster, report, run_all):
    """But for what it was about to delete, or push where another is to be deleted: that is told 503 for three minutes."""
    victim, others = cluster.replicas[0], cluster.replicas[1:]
    port = victim.port
    with Load([cluster.balancer], "killed", is_resent=True) as load:
        watch = Watch(*others)
        load.settle()
        with broken(victim.kill, lambda: victim.start(port)):
            since = now()
            report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
            assert all(map(is_ready, others))
            assert set(load.statuses()) <= {200, 201, 202, 307, 404, 409, 502, 503}, load.told()
        since = now()
        assert is_ready(victim)
        if run_all:  # nginx looks again after ten seconds
            Watch(victim).wait("http.request.*/v2/killed/", 60)
        report("recovered_with_it_s", load.wait_recovered(since, RECOVERY_MAX_S))
        report("load", load.told())
        check_stale(load, watch)
    load.check_all(cluster.replicas)


# ---- the store ----

def test_the_keys_are_revoked(cluster, report, run_all):
    warm = Warm(cluster.replicas, "warm/revoked")
    with Load(cluster.replicas, "revoked") as load:
        watch = Watch(*cluster.replicas)
        load.settle()
        with broken(cluster.store.suspend_user, cluster.store.enable_user):
            for replica in cluster.replicas:
                wait_until(lambda replica=replica: begin_upload(replica)[0] == 503, 20, "503")
                check_clear_503(begin_upload(replica))
                assert not is_ready(replica)
            warm.check(1)
            watch.wait('"http.request_failed".*"unavailable"')
            load.run(10 if run_all else 0.5)
        since = now()
        report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert all(map(is_ready, cluster.replicas))
        assert set(load.statuses()) <= {200, 201, 202, 307, 404, 503}, load.told()
        report("load", load.told())
        check_stale(load, watch)
    load.check_all(cluster.replicas)


def test_the_store_is_killed(cluster, report, run_all):
    """The breaker opens: what needs the store fails in milliseconds, the rest goes on."""
    warm = Warm(cluster.replicas, "warm/killed")
    with Load(cluster.replicas, "store-killed") as load:
        watch = Watch(*cluster.replicas)
        load.settle()
        with broken(cluster.store.kill_gateway, cluster.store.start_gateway):
            for replica in cluster.replicas:
                wait_until(lambda replica=replica: begin_upload(replica)[0] == 503 and not is_ready(replica), 20, "503")
                answers = [begin_upload(replica) for _ in range(9)]
                for one in answers:
                    check_clear_503(one)
                assert statistics.median(seconds for _, seconds, _ in answers) < 0.2, answers
            warm.check(1)
            watch.wait('"http.request_failed".*"unavailable"')
            load.run(10 if run_all else 0.5)
            assert set(load.statuses()) <= {200, 201, 202, 307, 404, 503}, load.told()
        since = now()
        report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert all(map(is_ready, cluster.replicas))
        report("load", load.told())
        check_stale(load, watch)
    load.check_all(cluster.replicas)


def test_the_store_stands_still(cluster, report, run_all):
    """Requests that need it end with the driver's deadline at the latest; nobody else waits for it."""
    warm = Warm(cluster.replicas, "warm/paused")
    answers, count = [], 6 * len(cluster.replicas)  # more than the breaker of each needs to open
    with Load(cluster.replicas, "store-paused") as load:
        watch = Watch(*cluster.replicas)
        load.settle()
        asking = [threading.Thread(target=lambda i=i: answers.append(begin_upload(cluster.replicas[i % 3])))
                  for i in range(count)]
        with broken(cluster.store.pause_osd, cluster.store.resume_osd):
            since = now()
            for one in asking:
                one.start()
            while len(answers) < count // 2 or (run_all and now() < since + 30):
                warm.check(1.5)
                for replica in cluster.replicas:
                    status, seconds, text = timed(replica, "GET", "/readyz")
                    assert status == 503 and seconds < 4 and "the store does not answer" in text, (status, seconds, text)
        since = now()
        report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert all(map(is_ready, cluster.replicas))
        assert set(load.statuses()) <= {200, 201, 202, 307, 404, 503}, load.told()
        report("load", load.told())
        print(sorted((status, round(seconds, 2)) for status, seconds, _ in answers))
        check_stale(load, watch)
    for one in asking:
        one.join()
    for status, seconds, text in answers:
        assert seconds < CALL_MAX_S + 2, (status, seconds, text)
        if status != 202:  # which those got that were let through again
            check_clear_503((status, seconds, text))
    load.check_all(cluster.replicas)


def test_the_store_answers_a_share_with_500_and_503(cluster, report, run_all):
    with FaultStore(cluster.store) as proxy:
        config = cluster.redis.apply(proxy.apply({"redirect": {"enabled": True}, **cluster.config}, "share"))
        with running(*(Minato(config=config) for _ in range(2))) as servers, Load(servers, "share") as load:
            watch = Watch(*servers)
            load.settle()
            since = now()
            for fault in (answer(500, "InternalError"), answer(503, "SlowDown"), answer(503, "ServiceUnavailable")):
                proxy.fail(fault, times=None, share=0.1)
            load.run(20 if run_all else 3)
            report("load_meanwhile", load.told(since))
            proxy.heal()
            since = now()
            report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
            assert set(load.statuses()) <= {200, 201, 202, 307, 404, 503}, load.told()
            report("load", load.told())
            check_stale(load, watch)
            load.stop()
            load.check_all(servers)


# ---- Redis ----

def test_redis_is_killed_and_comes_back_empty(cluster, report, run_all):
    """One replica is back at Redis before another, whose writes it does not know until that one is: it reads the store so long."""
    with Load(cluster.replicas, "redis-killed") as load:
        load.settle()
        watch = Watch(*cluster.replicas)
        with broken(cluster.redis.kill, cluster.redis.start):
            since = now()
            watch.wait("index.unreachable")
            report("recovered_without_it_s", load.wait_recovered(since, RECOVERY_MAX_S))
            assert all(map(is_ready, cluster.replicas))
            load.run(10 if run_all else 0.5)
            watch = Watch(*cluster.replicas)
        since = now()
        watch.wait("index.connected")
        report("recovered_with_it_s", load.wait_recovered(since, RECOVERY_MAX_S))
        for name, wipe in (("restarted", cluster.redis.restart), ("flushed", lambda: cluster.redis.command("FLUSHALL"))):
            load.run(SETTLE_S)
            since = now()
            wipe()
            report(f"recovered_{name}_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert set(load.statuses()) <= {200, 201, 202, 307, 404}, load.told()
        report("load", load.told())
        load.check_stale(0)
    load.check_all(cluster.replicas)


@contextlib.contextmanager
def short_memory(cluster, name):
    """Three replicas whose index forgets as soon as it can, the last behind a cable to Redis."""
    def config(port):
        more = {**cluster.config, "redirect": {"enabled": True},
                "index": {"redis": {"url": f"redis://127.0.0.1:{port}/0", "ttl": f"{TTL_S}s"}}}
        return cluster.store.apply(more, name)

    with Cable(cluster.redis.port) as cable:
        ports = (cluster.redis.port, cluster.redis.port, cable.port)
        with running(*(Minato(config=config(port)) for port in ports)) as servers:
            yield servers, cable


class Redirects(threading.Thread):
    """A client on one connection that asks for a warm blob again and again."""

    def __init__(self, server, path):
        super().__init__(daemon=True)
        self.client, self.path = server.client(), path
        self.seconds, self.statuses, self.is_over = [], set(), False

    def run(self):
        while not self.is_over:
            begun = now()
            self.statuses.add(self.client.get(self.path).status)
            self.seconds.append(now() - begun)

    def done(self):
        self.is_over = True
        self.join()
        self.client.close()


def test_redis_stands_still(cluster, report, run_all):
    """That costs a client one deadline, not one a request; then the store answers."""
    with short_memory(cluster, "redis-paused") as (servers, _), Load(servers, "redis-paused") as load:
        load.settle()
        warm = Warm(servers, "warm/redirects")
        clients = [Redirects(server, warm.blob) for server in servers]
        watch = Watch(*servers)
        with broken(cluster.redis.pause, cluster.redis.resume):
            for one in clients:
                one.start()
            since = now()
            watch.wait("index.unreachable")
            report("recovered_without_it_s", load.wait_recovered(since, RECOVERY_MAX_S))
            assert all(map(is_ready, servers))
            load.run(10 if run_all else 1)
            for one in clients:
                one.done()
        for one in clients:
            slow = [round(seconds, 2) for seconds in one.seconds if seconds >= 0.8 * DEADLINE_S]
            print(f"{len(one.seconds)} redirects, slow ones: {slow}")
            assert one.statuses == {307} and len(slow) <= max(2, len(one.seconds) // 10), slow
        since = now()
        watch.wait("index.connected")
        report("recovered_with_it_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert set(load.statuses()) <= {200, 201, 202, 307, 404}, load.told()
        report("load", load.told())
        load.check_stale(TTL_S)
        load.stop()
        load.check_all(servers)


def test_the_network_between_one_replica_and_redis_fails(cluster, report, run_all):
    """What it writes meanwhile the others may not know: for no longer than the index remembers."""
    with short_memory(cluster, "cable") as (servers, cable), Load(servers, "cable") as load:
        load.settle()
        others, victim = servers[:2], servers[2]
        for name, fail in (("held", cable.hold), ("lost", cable.lose), ("cut", cable.cut)):
            watch, others_watch = Watch(victim), Watch(*others)
            fail()
            since = now()
            watch.wait("index.unreachable")
            report(f"recovered_{name}_s", load.wait_recovered(since, RECOVERY_MAX_S))
            assert all(map(is_ready, servers))
            if name == "cut":
                report("stale_s", stale_for(others, victim))
            load.run(TTL_S + 5 if run_all else 0)
            assert others_watch.said("index.unreachable") == 0
            watch = Watch(victim)
            cable.mend()
            since = now()
            watch.wait("index.connected")
            report(f"recovered_mended_{name}_s", load.wait_recovered(since, RECOVERY_MAX_S))
        assert set(load.statuses()) <= {200, 201, 202, 307, 404}, load.told()
        report("load", load.told())
        load.check_stale(TTL_S)
        load.stop()
        load.check_all(servers)


def stale_for(others, victim):
    """How long others answer what they knew, after a push to a replica that cannot tell them."""
    clients = [login(server) for server in (*others, victim)]
    old = clients[-1].push_image("cable/stale", "latest", layers=(b"old",))
    path = "/v2/cable/stale/manifests/latest"
    assert all(client.get(path).body == old for client in clients)
    new = clients[-1].push_image("cable/stale", "latest", layers=(b"new",))
    acknowledged = now()
    assert clients[-1].get(path).body == new, "what it wrote itself it knows"
    last = acknowledged
    while any(client.get(path).body != new for client in clients):
        last = now()
        assert last < acknowledged + 2 * TTL_S
    for client in clients:
        client.close()
    assert last - acknowledged <= TTL_S + 0.5
    return last - acknowledged


# ---- time ----

def test_clocks_are_put_wrong_by_ten_minutes(cluster, report, run_all):
    """tests/s3/clocks.py has those that are wrong from the start."""
    config = cluster.redis.apply(cluster.store.apply({**cluster.config, "redirect": {"enabled": True}}, "skewed"))
    servers = Skewed(config=config), Skewed(config=config), Minato(config=config)
    with running(*servers), Load(servers, "skewed") as load:
        watch = Watch(*servers)
        load.settle()
        since = now()
        servers[0].put_ahead(600)
        servers[1].put_ahead(-600)
        report("recovered_s", load.wait_recovered(since, RECOVERY_MAX_S))
        load.run(20 if run_all else 0.5)
        assert set(load.statuses()) <= {200, 201, 202, 307, 404}, load.told()
        report("load", load.told())
        check_stale(load, watch)
        load.stop()
        load.check_all(servers)
