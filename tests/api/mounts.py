# SPDX-License-Identifier: Apache-2.0
"""POST ?mount=: a blob of another repository, without sending it again."""
import pytest

import minato
from minato import digest_of, with_query


def mount(client, repo, digest, **query):
    path = with_query(f"/v2/{repo}/blobs/uploads/", mount=digest, **query)
    return client.request("POST", path, headers={"Content-Length": "0"})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_blob_is_mounted_from_the_repository_that_has_it(client, algorithm):
    data = f"mounted by {algorithm}".encode()
    digest = client.push_blob(f"m/source-{algorithm}", data, algorithm)
    reply = mount(client, f"m/target-{algorithm}", digest, **{"from": f"m%2Fsource-{algorithm}"})
    assert reply.status == 201
    assert reply.header("docker-content-digest") == digest
    assert client.get(reply.header("location")).body == data


def test_blob_is_found_without_from(client):
    digest = client.push_blob("m/somewhere", b"somewhere")
    assert mount(client, "m/anywhere", digest).status == 201
    assert client.get(f"/v2/m/anywhere/blobs/{digest}").body == b"somewhere"


def test_blob_the_repository_has_already_needs_no_source(client):
    digest = client.push_blob("m/has", b"has it")
    assert mount(client, "m/has", digest, **{"from": "m%2Fnone"}).status == 201


@pytest.mark.parametrize("query", [{}, {"from": "m%2Fnone"}, {"from": "m%2Fother"}, {"from": "NOT%2Fa%2Fname"}])
def test_blob_that_is_nowhere_to_be_had_becomes_an_upload(client, query):
    client.push_blob("m/other", b"another")
    data = f"nowhere {query}".encode()
    reply = mount(client, "m/wants", digest_of(data), **query)
    assert reply.status == 202
    location = reply.header("location")
    assert client.request("PUT", with_query(location, digest=digest_of(data)), body=data).status == 201


def test_source_named_but_without_it_is_not_made_up_for_by_another(client):
    digest = client.push_blob("m/holder", b"held")
    assert mount(client, "m/asks", digest, **{"from": "m%2Fempty"}).status == 202
    assert client.head(f"/v2/m/asks/blobs/{digest}").status == 404


def test_broken_digest_is_refused(client):
    reply = mount(client, "m/broken", "sha256:xyz")
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


def test_mounted_blobs_carry_a_manifest(client):
    config = b"{}"
    for blob in (config, b"a layer of m/base"):
        client.push_blob("m/base", blob)
        assert mount(client, "m/app", digest_of(blob), **{"from": "m%2Fbase"}).status == 201
    data = minato.image_manifest(config, [b"a layer of m/base"])
    assert client.put_manifest("m/app", "v1", data).status == 201


def test_empty_blob_is_mounted(client):
    digest = client.push_blob("m/void", b"")
    assert mount(client, "m/void2", digest, **{"from": "m%2Fvoid"}).status == 201
    assert client.head(f"/v2/m/void2/blobs/{digest}").header("content-length") == "0"
