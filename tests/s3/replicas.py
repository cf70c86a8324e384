# SPDX-License-Identifier: Apache-2.0
"""Replicas on one bucket, without a disk of their own: any of them goes on with what another began."""
import json
import os
import urllib.request

import pytest

import minato
from minato import digest_of, with_query

MIB = 1 << 20


@pytest.fixture(scope="module", params=["Redis", "no index"])
def replicas(request, store, redis, tmp_path_factory):
    """Three servers on one prefix; readers are sent to the store."""
    data = tmp_path_factory.mktemp("replicas")
    config = store.apply({"redirect": {"enabled": True}}, data)
    if request.param == "Redis":
        config = redis.apply(config)
    servers = [minato.Minato(config=config) for _ in range(3)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()
        server.remove()


@pytest.fixture
def clients(replicas):
    ours = [server.client() for server in replicas]
    yield ours
    for client in ours:
        client.close()


def path_of(location):
    return location if location.startswith("/") else "/" + location.split("/", 3)[3]


def fetch(reply):
    """What the store gives to whoever follows the redirect."""
    with urllib.request.urlopen(reply.header("location")) as answer:
        return answer.read()


def check_everywhere(clients, repo, data, digest):
    for client in clients:
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 200
        reply = client.get(f"/v2/{repo}/blobs/{digest}")
        if data:
            assert (reply.status, reply.body) == (307, b"")
            assert fetch(reply) == data
        else:  # nothing to be sent for
            assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("endpoint", ["http://objects.example.com:80", "https://objects.example.com:443"])
def test_a_port_that_is_the_schemes_own_is_not_signed(start, store, tmp_path, endpoint):
    config = store.apply({"redirect": {"enabled": True}}, tmp_path)
    config["storage"]["s3"]["external_endpoint"] = endpoint
    client = start(config=config).client()
    digest = client.push_blob("ports/blob", b"bytes")
    location = client.get(f"/v2/ports/blob/blobs/{digest}").header("location")
    assert location.startswith(endpoint.rsplit(":", 1)[0] + "/")


@pytest.mark.parametrize("size", [0, 1, 300_000, 17 * MIB + 5], ids=["empty", "a byte", "small", "two parts"])
def test_a_blob_pushed_to_one_is_served_by_all(clients, size):
    data = os.urandom(size)
    digest = clients[0].push_blob("s3/blob", data)
    check_everywhere(clients, "s3/blob", data, digest)


@pytest.mark.parametrize("sizes", [(5, 7), (6 * MIB, 11 * MIB + 3), (17 * MIB, 1)])
def test_an_upload_goes_on_at_another_replica(clients, sizes):
    first, second = os.urandom(sizes[0]), os.urandom(sizes[1])
    digest = digest_of(first + second)
    location = path_of(clients[0].begin_upload("s3/moved"))
    for client, data in ((clients[0], first), (clients[1], second)):
        reply = client.request("PATCH", location, body=data, headers={"Content-Length": str(len(data))})
        assert reply.status == 202, reply
        location = path_of(reply.header("location"))
    reply = clients[2].request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"})
    assert reply.status == 201, reply
    check_everywhere(clients, "s3/moved", first + second, digest)


def test_a_tag_is_what_was_acknowledged_last_everywhere(clients):
    for number in range(30):
        manifest = json.dumps({"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": [],
                               "annotations": {"number": str(number)}}).encode()
        reply = clients[number % 3].put_manifest("s3/tags", "latest", manifest, minato.INDEX)
        assert reply.status == 201, reply
        for client in clients:
            assert client.get("/v2/s3/tags/manifests/latest").body == manifest
    for client in clients:
        assert json.loads(client.get("/v2/s3/tags/tags/list").body)["tags"] == ["latest"]


def test_the_same_url_is_given_again(clients):
    digest = clients[0].push_blob("s3/url", b"cached")
    urls = {client.get(f"/v2/s3/url/blobs/{digest}").header("location") for client in clients for _ in range(3)}
    assert len(urls) <= 2  # two when a window begins meanwhile


def test_parts_that_end_where_a_read_ends_do_not_wait_for_room_that_they_hold(clients):
    """Three parts of 16 MiB do not fit into a loop's share side by side; each read fills a page."""
    data = os.urandom(40 * MIB)
    digest = digest_of(data)
    for _ in range(4):
        location = path_of(clients[0].begin_upload("s3/aligned"))
        reply = clients[0].request("PATCH", location, body=data, headers={"Content-Length": str(len(data))})
        assert reply.status == 202, reply
        location = path_of(reply.header("location"))
        reply = clients[0].request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"})
        assert reply.status == 201, reply
