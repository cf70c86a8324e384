# SPDX-License-Identifier: Apache-2.0
"""minato reindex: a wiped Redis knows the whole bucket again, also one that Docker Registry wrote."""
import json
import re
import signal
import subprocess
import urllib.request

import pytest

import minato
from docker_registry import DockerRegistry
from fault_store import FaultStore, stall
from redis_server import RedisServer

REPOSITORIES = 12


class Counted:
    """The store behind a proxy that counts what is asked of it."""

    def __init__(self, store, proxy):
        self.bucket, self.access_key, self.secret_key = store.bucket, store.access_key, store.secret_key
        self.endpoint, self.records = proxy.endpoint, proxy.records
        self.proxy = proxy


@pytest.fixture(scope="module")
def counted(store):
    with FaultStore(store) as proxy:
        yield Counted(store, proxy)


@pytest.fixture
def own_redis():
    with RedisServer() as server:
        yield server


def configure(store, redis, prefix):
    section = {"s3": {"endpoint": store.endpoint, "bucket": store.bucket, "access_key": store.access_key,
                      "secret_key": store.secret_key, "prefix": prefix}}
    return redis.apply({"http": {"secret": "0123456789abcdef0123456789abcdef"}, "storage": section})


def reindex(config, folder, *arguments, wait=True):
    path = folder / "reindex.yaml"
    path.write_text(minato.to_yaml(config) + "\n")
    process = subprocess.Popen([minato.binary(), "reindex", "--config", path, *arguments], stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, env=minato.clean_environment())
    if not wait:
        return process
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def fill(client, repositories=REPOSITORIES):
    """Images with layers, an index, a referrer: what each repository may have."""
    digests = {}
    for number in range(repositories):
        repo = f"re/index/{number:02}"
        manifest = client.push_image(repo, "latest", layers=(b"shared", f"layer {number}".encode()))
        client.put_manifest(repo, "v1", manifest, minato.MANIFEST)
        descriptor = minato.descriptor(manifest, minato.MANIFEST)
        index = json.dumps({"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": [descriptor]}).encode()
        client.put_manifest(repo, "all", index, minato.INDEX)
        referrer = json.dumps({"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": [], "subject": descriptor,
                               "artifactType": "application/test"}).encode()
        client.put_manifest(repo, minato.digest_of(referrer), referrer, minato.INDEX)
        digests[repo] = (minato.digest_of(manifest), [layer["digest"] for layer in json.loads(manifest)["layers"]])
    return digests


def read_everything(client, digests, tags):
    assert sorted(json.loads(client.get("/v2/_catalog").body)["repositories"]) == sorted(digests)
    for repo, (manifest, layers) in digests.items():
        assert json.loads(client.get(f"/v2/{repo}/tags/list").body)["tags"] == tags
        assert client.get(f"/v2/{repo}/referrers/{manifest}").status == 200
        for tag in tags:
            assert client.get(f"/v2/{repo}/manifests/{tag}").status == 200
        for layer in layers:
            reply = client.get(f"/v2/{repo}/blobs/{layer}")
            assert reply.status == 307
            assert urllib.request.urlopen(reply.header("location")).status == 200


def spent(proxy, work):
    """What `work` cost the store: listings and objects that are no manifest's bytes, which Redis does not keep."""
    before = len(proxy.records)
    work()
    return [(one.method, one.path) for one in proxy.records[before:]
            if not re.search(r"/blobs/sha256/../[0-9a-f]+/data", one.path) and "X-Amz-Signature" not in one.path]


def test_a_wiped_redis_knows_the_bucket_again(counted, own_redis, tmp_path, start):
    config = configure(counted, own_redis, "reindex/wiped")
    client = start(config=config).client()
    digests = fill(client)
    own_redis.command("FLUSHALL")
    code, said = reindex(config, tmp_path)
    assert code == 0, said
    assert f"{REPOSITORIES} of {REPOSITORIES} repositories" in said
    fresh = start(config=config)
    fresh.wait_log("index.connected")
    assert spent(counted, lambda: read_everything(fresh.client(), digests, ["all", "latest", "v1"])) == []


def test_a_walk_that_was_stopped_goes_on_where_it_was(counted, own_redis, tmp_path, start):
    config = configure(counted, own_redis, "reindex/stopped")
    digests = fill(start(config=config).client())
    own_redis.command("FLUSHALL")
    held = counted.proxy.fail(stall(3), method="GET", path=f"/re/index/{REPOSITORIES - 1:02}/", times=1)
    process = reindex(config, tmp_path, wait=False)
    minato.wait_until(lambda: held.hits > 0, 60, "the last repository")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    counted.proxy.heal()
    assert "reindex: stopped" in said
    found = re.search(r"to go on: minato reindex (--after) (\S+)", said)
    code, more = reindex(config, tmp_path, *(found.groups() if found else []))
    assert code == 0, more
    fresh = start(config=config)
    fresh.wait_log("index.connected")
    assert spent(counted, lambda: read_everything(fresh.client(), digests, ["all", "latest", "v1"])) == []


def test_a_redis_that_is_lost_on_the_way_is_told_the_rest(store, own_redis, tmp_path, start):
    config = configure(store, own_redis, "reindex/lost")
    digests = fill(start(config=config).client())
    own_redis.command("FLUSHALL")
    process = reindex(config, tmp_path, wait=False)
    minato.wait_until(lambda: own_redis.command("DBSIZE") > 20, 60, "the walk")
    own_redis.command("CLIENT", "KILL", "TYPE", "normal")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert f"{REPOSITORIES} of {REPOSITORIES} repositories" in said
    fresh = start(config=config)
    read_everything(fresh.client(), digests, ["all", "latest", "v1"])


def test_without_redis_it_says_so(store, tmp_path):
    config = configure(store, RedisServer(), "reindex/none")
    process = reindex(config, tmp_path, wait=False)
    said = ""
    while " of 0 repositories" not in said:
        said = process.stderr.readline()
        assert said, f"it ended with {process.wait()}"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "reindex: stopped" in said


def test_a_bucket_that_docker_registry_wrote_is_served_and_known(counted, own_redis, tmp_path, start):
    with DockerRegistry("reindex/peer", counted) as peer:
        client = minato.Client(peer.host, peer.port)
        digests = {}
        for number in range(3):
            repo = f"from/peer{number}"
            manifest = client.push_image(repo, "latest", layers=(b"shared", f"layer {number}".encode() * 1000))
            digests[repo] = (minato.digest_of(manifest), [layer["digest"] for layer in json.loads(manifest)["layers"]])
        client.close()
    config = configure(counted, own_redis, "reindex/peer")
    code, said = reindex(config, tmp_path)
    assert code == 0, said
    assert "3 of 3 repositories" in said
    server = start(config=config)
    server.wait_log("index.connected")
    assert spent(counted, lambda: read_everything(server.client(), digests, ["latest"])) == []
