# SPDX-License-Identifier: Apache-2.0
"""Three replicas at once: what one of them has acknowledged all of them answer, and only bytes that match their digest are
ever published (DESIGN.md, invariants 2, 3, 7 and 8)."""
import functools
import http.client
import itertools
import json
import os
import random
import re
import subprocess
import threading
import time
from urllib.parse import urlsplit

import images
import pytest
from bucket import Bucket
from fault_store import FaultStore
from minato import INDEX, MANIFEST, Minato, digest_of, image_manifest, with_query
from pollers import Pollers
from topology import Topology
from users import login, write_htpasswd

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    users = write_htpasswd(tmp_path_factory.mktemp("users") / "users")
    config = {"uploads": {"part_size": "5MiB"}, "auth": {"anonymous": "push", "htpasswd": {"file": users}}}
    with Topology(replicas=3, config=config) as running:
        yield running


@pytest.fixture
def clients(cluster):
    ours = [login(replica) for replica in cluster.replicas]
    yield ours
    for client in ours:
        client.close()


@pytest.fixture
def bucket(cluster):
    return Bucket(cluster.store, cluster.replicas[0].config["storage"]["s3"]["prefix"])


def follow(reply):
    """What the store gives to whoever follows the redirect."""
    url = urlsplit(reply.header("location"))
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    try:
        connection.request("GET", f"{url.path}?{url.query}")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        return body
    finally:
        connection.close()


def numbered(number):
    """The manifest of this number."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                       "annotations": {"number": str(number)}}).encode()


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: registry\r\nAccept: */*\r\n\r\n".encode()


def rounds_for(seconds, least, count, run_all):
    """Numbers from 1 on: `count` of them with --all, else as many as fit, and `least`."""
    begun = time.monotonic()
    for number in itertools.count(1):
        if number > (count if run_all else least) and (run_all or time.monotonic() > begun + seconds):
            return
        yield number


# ---- read your writes, on every replica ----

def test_no_replica_answers_the_old_digest_after_a_push_was_acknowledged(cluster, clients, run_all, record_property):
    request = get("/v2/coherence/push/manifests/latest")

    def judge(shown, acknowledged, begun, answer):
        if answer.status != 200:
            return "it is not there"
        number = int(re.search(rb'"number": "(\d+)"', answer.body).group(1))
        if answer.body != numbered(number) or digest_of(answer.body).encode() not in answer.head:
            return "not what was pushed"
        return None if acknowledged <= number <= begun else f"number {number}"

    assert clients[0].put_manifest("coherence/push", "latest", numbered(0)).status == 201
    with Pollers([replica.port for replica in cluster.replicas[1:]], lambda _: request, judge) as pollers:
        for number in rounds_for(8, 50, 10_000, run_all):
            pollers.begin(number)
            reply = clients[0].put_manifest("coherence/push", "latest", numbered(number))
            assert reply.status == 201, reply
            pollers.acknowledge(number)
    record_property("rounds", number)
    print(f"{number} pushes, {list(pollers.counts)} polls")


KINDS = ("tag", "manifest", "blob")


def thing(number):
    """What is pushed to be deleted: its kind, its bytes, its path."""
    kind, data = KINDS[number % 3], numbered(number)
    name = f"manifests/v{number}" if kind == "tag" else f"{'blobs' if kind == 'blob' else 'manifests'}/{digest_of(data)}"
    return kind, data, f"/v2/coherence/delete/{name}"


def push_thing(client, number):
    kind, data, path = thing(number)
    if kind == "blob":
        client.push_blob("coherence/delete", data)
    else:
        assert client.put_manifest("coherence/delete", f"v{number}", data).status == 201
    return path


def judge_thing(shown, acknowledged, begun, answer):
    """Served until its DELETE begins, gone when that is acknowledged."""
    if shown == 0:
        return None if answer.status == 200 else "/v2/"
    if answer.status == 404:
        return None if shown <= begun else "it is not there"
    if answer.status != (307 if thing(shown)[0] == "blob" else 200):
        return "neither served nor gone"
    return "it is still served" if shown <= acknowledged else None


def test_no_replica_serves_what_was_deleted_once_that_was_acknowledged(cluster, clients, run_all, record_property):
    """A tag, a manifest with its tag, a blob in turn, pushed and deleted at each replica in turn."""
    requests = functools.cache(lambda number: get(thing(number)[2] if number else "/v2/"))
    with Pollers([replica.port for replica in cluster.replicas], requests, judge_thing) as pollers:
        for number in rounds_for(6, 30, 3000, run_all):
            path = push_thing(clients[number % 3], number)
            pollers.show(number)  # and the index knows it
            pollers.begin(number)
            reply = clients[number // 3 % 3].request("DELETE", path)
            assert reply.status == 202, reply
            pollers.acknowledge(number)
    record_property("rounds", number)
    print(f"{number} deletes, {list(pollers.counts)} polls")


# ---- many at once ----

REPOSITORIES = [f"many/{name}" for name in ("one", "two", "three")]


class Crowd:
    """Clients behind the balancer that push images with layers they share, and pull each other's."""

    def __init__(self, cluster, count):
        self.cluster = cluster
        self.shared = [images.content(500 + i, size) for i, size in enumerate((3, 70_000, 400_000, PART + 1, 11 * MIB))]
        self.configs = [json.dumps({"architecture": "amd64", "os": "linux", "number": i}).encode() for i in range(count)]
        self.pushed = []  # (repository, tag, manifest)
        self.referrers = {}  # (repository, subject) -> digests
        self.lock = threading.Lock()

    def work(self, number):
        client = self.cluster.client()
        chance = random.Random(number)
        repo = REPOSITORIES[number % 3]
        manifest = self.push(client, repo, f"v{number}", number, chance)
        if number % 4 == 0:
            self.push_referrer(client, repo, manifest, number)
        self.pull(client, repo, f"v{number}", manifest)
        with self.lock:
            other = chance.choice(self.pushed)
        self.pull(client, *other)
        client.close()

    def push(self, client, repo, tag, number, chance):
        layers = [*chance.sample(self.shared, 3), images.content(number, 20_000)]
        for data in (self.configs[number], *layers):
            self.push_blob(client, repo, data, chance)
        manifest = image_manifest(self.configs[number], layers)
        reply = client.put_manifest(repo, tag, manifest)
        assert reply.status == 201, reply
        with self.lock:
            self.pushed.append((repo, tag, manifest))
        return manifest

    def push_blob(self, client, repo, data, chance):
        """As clients do: look, then send it whole or by PATCH."""
        digest = digest_of(data)
        status = client.head(f"/v2/{repo}/blobs/{digest}").status
        assert status in (200, 404), status
        if status == 404 and chance.random() < 0.5:
            client.push_blob(repo, data)
        elif status == 404:
            location = with_query(client.begin_upload(repo), digest=digest)
            reply = client.request("PUT", location, body=data)
            assert reply.status == 201, reply

    def push_referrer(self, client, repo, subject, number):
        data = image_manifest(self.configs[number], [], artifactType="test/note", annotations={"number": str(number)},
                              subject={"mediaType": MANIFEST, "digest": digest_of(subject), "size": len(subject)})
        reply = client.put_manifest(repo, digest_of(data), data)
        assert reply.status == 201, reply
        with self.lock:
            self.referrers.setdefault((repo, digest_of(subject)), set()).add(digest_of(data))

    def pull(self, client, repo, tag, manifest):
        reply = client.get(f"/v2/{repo}/manifests/{tag}")
        assert (reply.status, reply.body) == (200, manifest), reply
        document = json.loads(manifest)
        for one in [document["config"], *document["layers"]]:
            reply = client.get(f"/v2/{repo}/blobs/{one['digest']}")
            assert reply.status == 307, reply
            assert digest_of(follow(reply)) == one["digest"]


def test_a_hundred_clients_share_layers_through_the_balancer(cluster, clients, bucket):
    crowd = Crowd(cluster, 100)
    images.in_parallel(crowd.work, 100)
    for replica, client in zip(cluster.replicas, clients):
        assert set(REPOSITORIES) <= set(client.get("/v2/_catalog").json()["repositories"])
        for repo in REPOSITORIES:
            tags = sorted(tag for where, tag, _ in crowd.pushed if where == repo)
            assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == tags
        for (repo, subject), digests in crowd.referrers.items():
            found = client.get(f"/v2/{repo}/referrers/{subject}").json()["manifests"]
            assert {one["digest"] for one in found} == digests
        assert '"status":5' not in replica.log_text()
    assert len(crowd.referrers) == 25
    assert bucket.check_blobs() >= 100


# ---- one session, two bodies ----

def send_pieces(client, location, data, size):
    """PATCH by PATCH, as a client that does not give up: it repeats what another's PATCH kept out, and goes on behind what
    another has sent. Where the session was last seen."""
    for offset in range(0, len(data), size):
        piece = data[offset:offset + size]
        fields = {"Content-Range": f"{offset}-{offset + len(piece) - 1}"} if size < len(data) else {}
        for _ in range(3):
            reply = client.request("PATCH", location, body=piece, headers=fields)
            assert reply.status in (202, 409, 416), reply
            location = reply.header("location") or location
            if reply.status != 409 or not fields:
                break
    return location


def race(clients, repo, bodies, size, ends):
    """Both bodies at once into one session; then it is ended with the digests of `ends`, one after the other, or by both
    senders at once (None). The digests that were acknowledged."""
    begun, barrier = clients[2].begin_upload(repo), threading.Barrier(2)
    locations, acknowledged = [None, None], set()

    def finish(client, i):
        digest = digest_of(bodies[i])
        reply = client.request("PUT", with_query(locations[i], digest=digest), headers={"Content-Length": "0"})
        assert reply.status in (201, 400, 404, 409, 416), reply
        if reply.status == 201:
            assert reply.header("docker-content-digest") == digest
            acknowledged.add(digest)

    def send(i):
        barrier.wait(60)
        locations[i] = send_pieces(clients[i], begun, bodies[i], size)
        barrier.wait(60)
        if ends is None:
            finish(clients[i], i)

    images.in_parallel(send, 2)
    for i in ends or ():
        finish(clients[2], i)
    return acknowledged


def test_of_two_bodies_in_one_session_only_what_matches_its_digest_is_published(cluster, clients, bucket, run_all):
    """Sent through two replicas, each as one PATCH and as many, of one part and of several."""
    chance = random.Random(int(os.environ.get("MINATO_SEED", "1")))
    sizes = [(1000, 1000), (300_000, 200_000), (PART + 5, PART + 5), (2 * PART + 1, 3 * PART)]
    shapes = list(itertools.product(sizes, (1, 8), [(0,), (1, 0), None]))
    shapes = shapes * 20 if run_all else shapes[:-6:2] + shapes[-6::4]
    wins = 0
    for sizes, pieces, ends in [*shapes, *[((1000, 1000), 1, (0,))] * 20]:  # who comes first is chance
        bodies = [chance.randbytes(size) for size in sizes]
        acknowledged = race(clients, "race/session", bodies, -(-max(sizes) // pieces), ends)
        wins += len(acknowledged)
        for data, client in itertools.product(bodies, clients):
            reply = client.get(f"/v2/race/session/blobs/{digest_of(data)}")
            assert reply.status == (307 if digest_of(data) in acknowledged else 404), (sizes, pieces, ends, reply)
            assert reply.status == 404 or follow(reply) == data
    print(f"{wins} bodies were published")
    assert wins > 0
    bucket.check_blobs()


# ---- each byte once ----

@pytest.fixture
def counted(cluster):
    """A replica that reaches the store through a proxy that counts."""
    with FaultStore(cluster.store) as proxy:
        config = cluster.redis.apply(proxy.apply({"redirect": {"enabled": True}}, "counted"))
        with Minato(config=config) as server:
            yield server, proxy


def check_each_byte_once(proxy, size, again=0):
    """What the store was sent, of everything, and that it copied nothing. `again`: what may come twice."""
    received = sum(record.received for record in proxy.records)
    print(f"{received} bytes for an image of {size}: {received / size:.4f}; {proxy.count()} requests")
    assert size <= received <= 1.02 * (size + again)
    assert not [record for record in proxy.records if "x-amz-copy-source" in record.head.lower()]


def layers_of(seed):
    total = 300_000_000 if os.environ.get("MINATO_TESTS_ALL") else 60_000_000
    return [images.tar_of({"bytes": images.content(seed + i, total // 10 * share)}) for i, share in enumerate((5, 3, 2))]


def test_docker_pushes_each_byte_once(counted):
    """But what fills no part at the end of its PATCH: that is kept as an object until the upload goes on or ends."""
    server, proxy = counted
    layers = layers_of(600)
    docker = images.Docker()
    try:
        name = f"{server.address}/once/docker:v1"
        docker.make(name, *layers)
        proxy.forget()
        docker.run("push", name)
        manifest = server.client().get("/v2/once/docker/manifests/v1").json()
        sizes = [layer["size"] for layer in manifest["layers"]]
        check_each_byte_once(proxy, sum(sizes), sum(size % (16 * MIB) for size in sizes))
    finally:
        docker.done()


def test_containerd_pushes_each_byte_once(counted, tmp_path):
    server, proxy = counted
    layers = layers_of(700)
    images.oci_layout(tmp_path / "image", {"amd64": layers}, f"{server.address}/once/ctr:v1")
    subprocess.run(["tar", "-C", tmp_path / "image", "-cf", tmp_path / "image.tar", "."], check=True)
    ctr = images.Containerd()
    try:
        ctr.run("images", "import", "--no-unpack", "--all-platforms", tmp_path / "image.tar")
        proxy.forget()
        ctr.run("images", "push", "--plain-http", f"{server.address}/once/ctr:v1")
        check_each_byte_once(proxy, sum(map(len, layers)))
    finally:
        ctr.done()
