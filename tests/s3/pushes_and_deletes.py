# SPDX-License-Identifier: Apache-2.0
"""Deletes at one replica beside pushes at another, of the same names: what was acknowledged is there and whole."""
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import minato
from minato import digest_of, image_manifest
from users import login, server_with_user

ROUNDS = 80
SEED = random.randrange(1 << 32)


@pytest.fixture(scope="module")
def replicas(store, tmp_path_factory):
    """Three servers on one prefix, each with a user, who may delete."""
    data = tmp_path_factory.mktemp("deletes")
    servers = [server_with_user(tmp_path_factory.mktemp("users"), anonymous="push", **store.apply({}, data))
               for _ in range(3)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()
        server.remove()


@pytest.fixture
def locks(store, replicas):
    """Where the replicas' intents and marks are, as a key begins; a test leaves none."""
    prefix = f"{replicas[0].config['storage']['s3']['prefix']}/minato/locks/"
    yield prefix
    minato.wait_until(lambda: store.keys(prefix) == [], 10, "the last intent to be removed")


def delete(client, path):
    return client.request("DELETE", path)


class Content:
    """An image whose config and layers are nobody else's."""

    def __init__(self, repo, dice):
        self.repo = repo
        self.config = f'{{"number": "{dice.random()}"}}'.encode()
        self.layers = [dice.randbytes(100) for _ in range(3)]
        self.manifest = image_manifest(self.config, self.layers)

    def push_blobs(self, client):
        for blob in (self.config, *self.layers):
            client.push_blob(self.repo, blob)

    def is_whole(self, client):
        return all(client.get(f"/v2/{self.repo}/blobs/{digest_of(blob)}").body == blob
                   for blob in (self.config, *self.layers))


def run_at_once(dice, *calls):
    """What they return; each begins within a few milliseconds."""
    def late(call, wait_s):
        time.sleep(wait_s)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in
                [pool.submit(late, call, dice.uniform(0, 0.02)) for call in calls]]


def test_no_delete_takes_a_layer_of_a_push(replicas, locks):
    """Two pushes and a delete of one of the blobs, each at a replica of its own."""
    dice = random.Random(SEED)
    clients = [login(server) for server in replicas]
    outcomes = {}
    for number in range(ROUNDS):
        content = Content("s3/race", dice)
        content.push_blobs(clients[0])
        blob = digest_of(dice.choice([content.config, *content.layers]))
        dice.shuffle(clients)
        *puts, taken = run_at_once(
            dice, lambda: clients[0].put_manifest(content.repo, f"a{number}", content.manifest),
            lambda: clients[1].put_manifest(content.repo, f"b{number}", content.manifest),
            lambda: delete(clients[2], f"/v2/{content.repo}/blobs/{blob}"))
        told = (*sorted(put.status for put in puts), taken.status)
        outcomes[told] = outcomes.get(told, 0) + 1
        assert told in {(201, 201, 409), (404, 404, 202)}, (SEED, number, told, puts, taken)
        for client, tag in ((clients[2], f"a{number}"), (clients[0], f"b{number}")):
            reply = client.get(f"/v2/{content.repo}/manifests/{tag}")
            assert reply.status == (200 if puts[0].status == 201 else 404), (SEED, number, reply)
        if taken.status == 409:
            assert content.is_whole(clients[1]), (SEED, number)
    print(f"seed {SEED}: {outcomes}")
    assert len(outcomes) == 2  # else they did not meet


def test_no_delete_takes_a_manifest_of_an_index_or_a_tag(replicas, locks):
    """A push of an index, one of its child by another tag, a delete of the child, and of a tag of it."""
    dice = random.Random(SEED)
    clients = [login(server) for server in replicas]
    outcomes = {}
    for number in range(ROUNDS // 2):
        content = Content("s3/index", dice)
        content.push_blobs(clients[0])
        child = digest_of(content.manifest)
        assert clients[0].put_manifest(content.repo, "child", content.manifest).status == 201
        index = {"schemaVersion": 2, "mediaType": minato.INDEX,
                 "manifests": [minato.descriptor(content.manifest, minato.MANIFEST)]}
        dice.shuffle(clients)
        # One connection serves one call at a time.
        others = [login(replicas[dice.randrange(3)]) for _ in range(2)]
        put, moved, taken, untagged = run_at_once(
            dice, lambda: clients[0].put_manifest(content.repo, "index", index),
            lambda: clients[1].put_manifest(content.repo, "child", content.manifest),
            lambda: delete(clients[2], f"/v2/{content.repo}/manifests/{child}"),
            lambda: delete(others[0], f"/v2/{content.repo}/manifests/child"))
        told = (put.status, moved.status, taken.status, untagged.status)
        outcomes[told] = outcomes.get(told, 0) + 1
        assert told[0] in (201, 404) and told[1] == 201 and told[2] in (202, 409) and told[3] in (202, 404), (
            SEED, number, told, put, taken)
        is_there = others[1].get(f"/v2/{content.repo}/manifests/{child}").status == 200
        if put.status == 201:
            assert is_there and others[1].get(f"/v2/{content.repo}/manifests/index").status == 200, (SEED, number, told)
        tag = others[1].get(f"/v2/{content.repo}/manifests/child")
        assert tag.status == 404 or (is_there and tag.body == content.manifest), (SEED, number, told, tag)
        for client in others:
            client.close()
        delete(clients[0], f"/v2/{content.repo}/manifests/index")
    print(f"seed {SEED}: {outcomes}")
    assert len(outcomes) > 1


def test_what_is_deleted_at_one_may_be_pushed_at_another_at_once(replicas, locks):
    first, second = (login(server) for server in replicas[:2])
    content = Content("s3/again", random.Random(SEED))
    content.push_blobs(first)
    for _ in range(10):
        assert first.put_manifest(content.repo, "v1", content.manifest).status == 201
        assert delete(second, f"/v2/{content.repo}/manifests/{digest_of(content.manifest)}").status == 202
        assert first.get(f"/v2/{content.repo}/manifests/v1").status == 404


def test_a_delete_waits_for_what_another_replica_is_pushing(store, replicas, locks):
    """Two intents by hand, as of replicas that are slow: one goes away in time, the other does not."""
    client, other = (login(server) for server in replicas[:2])
    content = Content("s3/slow", random.Random(SEED))
    content.push_blobs(client)
    blobs = [digest_of(layer) for layer in content.layers]
    intents = [f"/{locks}{content.repo}/_pushes/{uuid.uuid4()}" for _ in range(2)]
    for intent, blob in zip(intents, blobs):
        assert store.request("PUT", intent, f"{digest_of(b'manifest')}\n{blob}\nv1\n".encode())[0] == 200
    with ThreadPoolExecutor(2) as pool:
        begun = time.monotonic()
        in_time = pool.submit(delete, client, f"/v2/{content.repo}/blobs/{blobs[0]}")
        in_vain = pool.submit(delete, other, f"/v2/{content.repo}/blobs/{blobs[1]}")
        time.sleep(2)
        assert not in_time.done() and not in_vain.done()
        third = login(replicas[2])
        assert delete(third, f"/v2/{content.repo}/blobs/{blobs[2]}").status == 202  # nobody names it
        assert store.request("DELETE", intents[0])[0] == 204
        assert in_time.result().status == 202
        reply = in_vain.result()
    assert (reply.status, reply.header("retry-after")) == (503, "1") and "another replica" in reply.body.decode(), reply
    assert 19 < time.monotonic() - begun < 30
    assert client.head(f"/v2/{content.repo}/blobs/{blobs[1]}").status == 200
    assert store.request("DELETE", intents[1])[0] == 204


def test_a_push_waits_for_what_another_replica_is_deleting(store, replicas, locks):
    client = login(replicas[0])
    content = Content("s3/mark", random.Random(SEED))
    content.push_blobs(client)
    name = digest_of(content.layers[1]).replace(":", "-")
    mark = f"/{locks}{content.repo}/_deletes/d.{name}.{uuid.uuid4()}"
    assert store.request("PUT", mark)[0] == 200
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(client.put_manifest, content.repo, "v1", content.manifest)
        time.sleep(1)
        assert not put.done()
        assert store.keys(f"{locks}{content.repo}/_pushes/") == []  # who waits is not waited for
        assert store.request("DELETE", mark)[0] == 204
        assert put.result().status == 201


def test_a_server_that_stops_takes_its_intents_back(store, replicas, locks):
    """SIGTERM between the answers to pushes and the removal of what they left in the store."""
    server = server_with_user(replicas[0].folder, anonymous="push", storage=replicas[0].config["storage"],
                              http=replicas[0].config["http"], redirect=replicas[0].config["redirect"])
    is_stopping = threading.Event()

    def push_until_it_stops(number):
        client, content = login(server), Content("s3/stop", random.Random(number))
        content.push_blobs(client)
        count = 0
        try:
            while client.put_manifest(content.repo, f"t{number}", content.manifest).status == 201:
                count += 1
        except OSError:
            assert is_stopping.is_set()
        return count

    with server, ThreadPoolExecutor(4) as pool:
        pushes = [pool.submit(push_until_it_stops, number) for number in range(4)]
        time.sleep(2)
        is_stopping.set()
        server.stop()
        assert all(push.result() > 0 for push in pushes)
    assert store.keys(locks) == []
