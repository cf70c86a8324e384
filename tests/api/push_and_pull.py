# SPDX-License-Identifier: Apache-2.0
"""What was pushed comes back, byte for byte, in every way the specification knows to push it."""
import json
import os

import pytest

import minato
from minato import digest_of, with_query

BLOB_TYPES = [(b"", "an empty blob"), (b"x", "one byte"), (bytes(range(256)) * 1024, "256 KiB"),
              (os.urandom(3_000_001), "3 MB that end within a page")]


def check_blob(client, repo, data, digest):
    reply = client.head(f"/v2/{repo}/blobs/{digest}")
    assert (reply.status, reply.header("content-length")) == (200, str(len(data)))
    assert reply.header("docker-content-digest") == digest
    reply = client.get(f"/v2/{repo}/blobs/{digest}")
    assert reply.status == 200
    assert reply.body == data
    assert reply.header("docker-content-digest") == digest
    assert reply.header("content-encoding") is None


@pytest.mark.threads
@pytest.mark.parametrize("data, what", BLOB_TYPES, ids=[what for _, what in BLOB_TYPES])
def test_blob_pushed_by_post_patch_put_comes_back(client, data, what):
    digest = client.push_blob("t/ppp", data)
    check_blob(client, "t/ppp", data, digest)


@pytest.mark.parametrize("data, what", BLOB_TYPES, ids=[what for _, what in BLOB_TYPES])
def test_blob_pushed_by_post_and_one_put_comes_back(client, data, what):
    digest = digest_of(data)
    location = client.begin_upload("t/put")
    reply = client.request("PUT", with_query(location, digest=digest), body=data,
                           headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(data))})
    assert reply.status == 201, reply
    assert reply.header("docker-content-digest") == digest
    assert reply.header("location").endswith(f"/v2/t/put/blobs/{digest}")
    check_blob(client, "t/put", data, digest)


@pytest.mark.parametrize("data, what", BLOB_TYPES, ids=[what for _, what in BLOB_TYPES])
def test_blob_pushed_by_one_post_with_its_digest_comes_back(client, data, what):
    digest = digest_of(data)
    reply = client.request("POST", f"/v2/t/post/blobs/uploads/?digest={digest}", body=data,
                           headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(data))})
    assert reply.status == 201, reply
    assert reply.header("location").endswith(f"/v2/t/post/blobs/{digest}")
    check_blob(client, "t/post", data, digest)


def test_blob_pushed_as_docker_does_in_one_chunked_patch_comes_back(client, repo):
    data = os.urandom(700_000)
    location = client.begin_upload(repo)
    pieces = (data[at:at + 32_768] for at in range(0, len(data), 32_768))
    reply = client.request("PATCH", location, body=pieces, headers={"Transfer-Encoding": "chunked"}, chunked=True)
    assert reply.status == 202, reply
    assert reply.header("range") == f"0-{len(data) - 1}"
    digest = digest_of(data)
    reply = client.request("PUT", with_query(reply.header("location"), digest=digest), headers={"Content-Length": "0"})
    assert reply.status == 201
    # Docker asks again at once whether the blob is there.
    check_blob(client, repo, data, digest)


def test_sha512_blob_and_manifest_come_back(client, repo):
    data = os.urandom(100_000)
    digest = client.push_blob(repo, data, "sha512")
    check_blob(client, repo, data, digest)
    config = b"{}"
    client.push_blob(repo, config)
    manifest = minato.image_manifest(config, [])
    by_digest = digest_of(manifest, "sha512")
    assert client.put_manifest(repo, by_digest, manifest).status == 201
    reply = client.get(f"/v2/{repo}/manifests/{by_digest}")
    assert (reply.status, reply.body) == (200, manifest)
    assert reply.header("docker-content-digest") == by_digest


def test_blob_pushed_twice_is_accepted_twice(client, repo):
    data = os.urandom(1000)
    assert client.push_blob(repo, data) == client.push_blob(repo, data)
    check_blob(client, repo, data, digest_of(data))


def test_blob_of_one_repository_is_unknown_in_another(client, repo):
    digest = client.push_blob(repo, b"only here")
    reply = client.get(f"/v2/{repo}-other/blobs/{digest}")
    assert (reply.status, reply.error_code()) == (404, "BLOB_UNKNOWN")
    assert client.head(f"/v2/{repo}-other/blobs/{digest}").status == 404


@pytest.mark.threads
def test_image_is_pulled_by_tag_and_by_digest_as_it_was_pushed(client, repo):
    manifest = client.push_image(repo, "v1", [b"one", b"two"])
    digest = digest_of(manifest)
    for reference in ("v1", digest):
        reply = client.get(f"/v2/{repo}/manifests/{reference}")
        assert reply.status == 200
        assert reply.body == manifest
        assert reply.header("content-type") == minato.MANIFEST
        assert reply.header("docker-content-digest") == digest
        reply = client.head(f"/v2/{repo}/manifests/{reference}")
        assert (reply.status, reply.header("content-length")) == (200, str(len(manifest)))
        assert reply.header("docker-content-digest") == digest


def test_manifest_is_served_in_the_form_it_was_written(client, repo):
    config = b'{"odd":  "spaces"}'
    client.push_blob(repo, config)
    manifest = json.dumps(json.loads(minato.image_manifest(config, [])), indent=7, sort_keys=True).encode() + b"\n\n"
    assert client.put_manifest(repo, "odd", manifest).status == 201
    assert client.get(f"/v2/{repo}/manifests/odd").body == manifest


def test_tag_moves_and_the_old_manifest_stays_by_digest(client, repo):
    first = client.push_image(repo, "latest", [b"first"])
    second = client.push_image(repo, "latest", [b"second"])
    assert client.get(f"/v2/{repo}/manifests/latest").body == second
    assert client.get(f"/v2/{repo}/manifests/{digest_of(first)}").body == first


def test_manifest_of_one_repository_is_unknown_in_another(client, repo):
    manifest = client.push_image(repo, "v1")
    client.push_image(repo + "-other", "other", [b"another"])
    reply = client.get(f"/v2/{repo}-other/manifests/{digest_of(manifest)}")
    assert (reply.status, reply.error_code()) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("name", ["a", "a/b", "a/blobs/uploads", "a/manifests", "a/tags/list", "x/blobs/y", "v2/v2",
                                  "a-b_c.d/e__f/g---h", "0/1/2/3/4/5/6/7/8/9", "n" * 200])
def test_any_valid_name_is_a_repository(client, name):
    manifest = client.push_image(name, "v1", [name.encode()])
    assert client.get(f"/v2/{name}/manifests/v1").body == manifest
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v1"]}


def test_every_answer_of_v2_names_the_api_version(client, repo):
    client.push_image(repo, "v1")
    for path in ("/v2/", f"/v2/{repo}/manifests/v1", f"/v2/{repo}/tags/list", f"/v2/{repo}/manifests/none"):
        assert client.get(path).header("docker-distribution-api-version") == "registry/2.0", path
