# SPDX-License-Identifier: Apache-2.0
"""The Redis that a server's index is in: how it is reached, what is said when it cannot be, and what it may do to its
keys. The store is a folder: what is asked here is the same on a bucket."""
import json
import subprocess
import threading
import time

import pytest

import minato
from redis_groups import CLUSTER, Cluster, Watched
from redis_server import RedisServer


def with_index(url, **more):
    return {"index": {"redis": {"url": url, **more}}}


LOOPS = 2


def is_connected(server, times=1):
    """By all of its loops, `times` times."""
    return server.log_text().count("index.connected") >= times * LOOPS


@pytest.fixture
def start_with(start):
    def start_one(url, **more):
        return start(config={"http": {"loops": LOOPS}, **with_index(url, **more)})

    return start_one


def push_and_pull(server, repo="some/image", text=b"layer"):
    """A push and what it is read back as, warm and cold."""
    client = server.client()
    pushed = client.push_image(repo, "latest", layers=(text,))
    for _ in range(3):
        assert client.get(f"/v2/{repo}/manifests/latest").body == pushed
        assert json.loads(client.get(f"/v2/{repo}/tags/list").body)["tags"] == ["latest"]
        for layer in json.loads(pushed)["layers"]:
            assert client.get(f"/v2/{repo}/blobs/{layer['digest']}").status == 200
    client.close()


# ---- reaching it ----

def test_a_server_with_users_databases_and_a_socket(start_with, tmp_path):
    path = tmp_path / "redis.sock"
    with RedisServer(arguments=["--unixsocket", str(path)]) as redis:
        redis.command("ACL", "SETUSER", "app", "on", ">s/cret", "~*", "&*", "+@all")
        redis.command("CONFIG", "SET", "requirepass", "other")
        for url in (f"redis://app:s%2Fcret@localhost:{redis.port}/3", f"redis://:other@127.0.0.1:{redis.port}",
                    f"unix://app:s%2Fcret@{path}?2"):
            server = start_with(url)
            server.wait_log("index.connected")
            push_and_pull(server)
            assert "cret" not in server.log_text()
            server.stop()


@pytest.mark.parametrize("url, words", [
    ("rediss://127.0.0.1:1", ["index.redis.url", "TLS"]),
    ("redis://127.0.0.1:1/x", ["index.redis.url", "database"]),
    ("redis+sentinel://127.0.0.1:1", ["index.redis.url", "name"]),
])
def test_a_url_that_cannot_be_used_is_explained(tmp_path, url, words):
    done = subprocess.run([minato.binary(), "serve", "--listen", "127.0.0.1:0"], cwd=tmp_path, timeout=20, text=True,
                          env=minato.clean_environment(MINATO_INDEX_REDIS_URL=url), capture_output=True)
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr


def refused(server, words):
    found = server.wait_log(r"index\.unreachable.*").group(0)
    assert all(word in found for word in words), found
    push_and_pull(server)


def test_without_redis_the_store_answers(start_with):
    refused(start_with(f"redis://127.0.0.1:{minato.free_port()}"), ["refused"])


def test_a_wrong_password_is_said_and_not_shown(start_with):
    with RedisServer() as redis:
        redis.command("CONFIG", "SET", "requirepass", "right")
        server = start_with(f"redis://:hidden@127.0.0.1:{redis.port}")
        refused(server, ["WRONGPASS"])
        assert "hidden" not in server.log_text()


def test_a_name_that_nobody_knows_is_said(start_with):
    refused(start_with("redis://no-such-host.invalid"), ["looked up"])


def test_a_replica_is_not_taken_for_its_primary(start_with):
    with RedisServer() as primary, RedisServer(arguments=["--replicaof", f"127.0.0.1 {primary.port}"]) as replica:
        refused(start_with(replica.url), ["replica", "redis+sentinel"])


def test_a_node_of_a_cluster_is_named_as_such(start_with):
    arguments = [*CLUSTER, "--cluster-port", str(minato.free_port())]
    with RedisServer(arguments=arguments) as node, RedisServer() as single:
        refused(start_with(f"redis://127.0.0.1:{node.port}"), ["redis+cluster://"])
        refused(start_with(f"redis+cluster://127.0.0.1:{single.port}"), ["no cluster"])


def test_what_is_not_redis_is_left_alone(start_with, start):
    other = start()
    refused(start_with(f"redis://127.0.0.1:{other.port}"), ["why"])


# ---- servers that take over ----

class Traffic:
    """Pushes of a tag, each followed by reads at another server; whatever is read must be what was pushed last."""

    def __init__(self, writer, reader, repo):
        self.writer, self.reader, self.repo = writer.client(), reader.client(), repo
        self.rounds = 0
        self.problems = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.is_over.is_set():
            manifest = json.dumps({"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": [],
                                   "annotations": {"round": str(self.rounds)}}).encode()
            put = self.writer.put_manifest(self.repo, "latest", manifest, minato.INDEX)
            got = self.reader.get(f"/v2/{self.repo}/manifests/latest")
            if put.status != 201 or got.status != 200 or got.body != manifest:
                self.problems.append((self.rounds, put, got))
            self.rounds += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        self.writer.close()
        self.reader.close()


def rounds_go_on(traffic, more=20):
    reached = traffic.rounds + more
    minato.wait_until(lambda: traffic.rounds >= reached, 30, "traffic")


def test_sentinels_lead_to_the_new_primary(start_with):
    with Watched() as group:
        server = start_with(group.url)
        minato.wait_until(lambda: is_connected(server), 20, "connections")
        with Traffic(server, server, "watched/image") as traffic:
            rounds_go_on(traffic)
            group.primary.kill()
            minato.wait_until(lambda: is_connected(server, 2), 40, "the new primary")
            before = group.replica.command_calls().get("evalsha", 0)
            rounds_go_on(traffic)
        assert traffic.problems == []
        assert group.replica.command_calls()["evalsha"] > before


def test_a_cluster_is_followed_through_a_failover(start_with):
    with Cluster() as cluster:
        server = start_with(cluster.url)
        repos = [f"cluster/{number}" for number in range(12)]
        for repo in repos:
            push_and_pull(server, repo)
        assert sum(1 for one in cluster.servers if one.command_calls().get("hget", 0) > 0) == 3
        owner = cluster.owner("{cluster/0}")
        with Traffic(server, server, "cluster/0") as traffic:
            rounds_go_on(traffic)
            owner.kill()
            minato.wait_until(lambda: cluster.owner("{cluster/0}").port != owner.port and cluster.is_whole(), 40, "the cluster")
            new_owner = cluster.owner("{cluster/0}")
            minato.wait_until(lambda: new_owner.command_calls().get("evalsha", 0) > 20, 30, "the new primary")
        assert traffic.problems == []
        for repo in repos[1:]:
            push_and_pull(server, repo, b"another layer")


def test_the_nodes_of_a_cluster_may_go_by_names(start_with):
    """Each is one link of those there may be, however often the cluster is asked who has what."""
    with Cluster("--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname") as cluster:
        server = start_with(cluster.url)
        push_and_pull(server, "names/0")
        for _ in range(50):
            for one in cluster.servers[:3]:
                one.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.2)
        time.sleep(4)  # until what it lost is believed again
        before = sum(one.command_calls().get("hget", 0) for one in cluster.servers)
        push_and_pull(server, "names/1")
        assert sum(one.command_calls().get("hget", 0) for one in cluster.servers) > before


# ---- what Redis may do to its keys ----

def test_a_blob_and_a_tag_cost_one_command_each(start_with, redis):
    server = start_with(redis.url)
    minato.wait_until(lambda: is_connected(server), 20, "connections")
    client = server.client()
    client.push_image("one/command", "latest", layers=(b"layer",))
    digest = client.push_blob("one/command", b"blob")
    for path, commands in ((f"blobs/{digest}", {"hget": 10}), ("manifests/latest", {"evalsha": 10, "hget": 20})):
        assert client.get(f"/v2/one/command/{path}").status == 200
        before = redis.command_calls()
        for _ in range(10):
            assert client.get(f"/v2/one/command/{path}").status == 200
        after = redis.command_calls()
        spent = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
        spent.pop("info", None)
        assert spent == commands
    client.close()


def keys_of(redis):
    cursor, keys = "0", []
    while True:
        cursor, found = redis.command("SCAN", cursor, "COUNT", "1000")
        keys += found
        if cursor == "0":
            return keys


def test_no_key_is_without_a_time_to_live(start_with):
    with RedisServer() as redis:
        server = start_with(redis.url, ttl="60s")
        minato.wait_until(lambda: is_connected(server), 20, "connections")
        push_and_pull(server)
        client = server.client()
        assert client.get("/v2/_catalog").status == 200
        client.close()
        keys = keys_of(redis)
        assert len(keys) > 5
        assert all(0 < redis.command("PTTL", key) <= 60_000 + 2 * 60_000 for key in keys)


@pytest.mark.parametrize("policy", ["allkeys-random", "noeviction"])
def test_a_full_redis_makes_no_answer_wrong(start_with, policy):
    with RedisServer(arguments=["--maxmemory-policy", policy]) as redis:
        server = start_with(redis.url)
        minato.wait_until(lambda: is_connected(server), 20, "connections")
        redis.command("CONFIG", "SET", "maxmemory", str(int(redis.info("memory")["used_memory"]) + 20_000))
        with Traffic(server, server, "full/image") as traffic:
            for number in range(25):
                push_and_pull(server, f"full/{number}", f"layer {number}".encode())
            rounds_go_on(traffic)
        assert traffic.problems == []


def test_scripts_that_redis_lost_are_loaded_again(start_with, redis):
    server = start_with(redis.url)
    minato.wait_until(lambda: is_connected(server), 20, "connections")
    redis.command("SCRIPT", "FLUSH")
    push_and_pull(server)
    server.wait_log("index.unreachable.*NOSCRIPT")
    minato.wait_until(lambda: server.log_text().count("index.connected") > LOOPS, 20, "a connection")
    push_and_pull(server, text=b"another")


def test_registries_share_a_database(start_with, redis):
    first, second = start_with(redis.url), start_with(redis.url)
    for server, text in ((first, b"one"), (second, b"two")):
        push_and_pull(server, "shared/name", text)
    manifests = [server.client().get("/v2/shared/name/manifests/latest").body for server in (first, second)]
    assert manifests[0] != manifests[1]
