# SPDX-License-Identifier: Apache-2.0
"""DELETE of tags, manifests and blobs: at once, by whom, and what is refused."""
import json

import pytest

import minato
from minato import CONFIG, INDEX, descriptor, digest_of, image_manifest
from users import login, server_with_user


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_with_user(tmp_path_factory.mktemp("users"), anonymous="push") as running:
        yield running


@pytest.fixture
def client(server):
    return login(server)


def delete(client, path, **headers):
    return client.request("DELETE", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def manifest_path(repo, reference):
    return f"/v2/{repo}/manifests/{reference}"


def check_gone(client, path, code):
    reply = client.get(path)
    assert (reply.status, reply.error_code()) == (404, code)
    assert client.head(path).status == 404


def test_deleted_tag_is_gone_at_once_and_its_manifest_stays(client):
    data = client.push_image("t/d-tag", "v1")
    assert client.put_manifest("t/d-tag", "v2", data).status == 201
    reply = delete(client, manifest_path("t/d-tag", "v1"))
    assert (reply.status, reply.body) == (202, b"")
    check_gone(client, manifest_path("t/d-tag", "v1"), "MANIFEST_UNKNOWN")
    assert client.get("/v2/t/d-tag/tags/list").json()["tags"] == ["v2"]
    assert client.get(manifest_path("t/d-tag", digest_of(data))).body == data


def test_deleted_manifest_takes_the_tags_that_point_to_it_and_no_other(client):
    data = client.push_image("t/d-manifest", "v1")
    other = client.push_image("t/d-manifest", "other", [b"another layer"])
    for tag in ("v2", "moved"):
        assert client.put_manifest("t/d-manifest", tag, data).status == 201
    assert client.put_manifest("t/d-manifest", "moved", other).status == 201
    assert delete(client, manifest_path("t/d-manifest", digest_of(data))).status == 202
    for reference in ("v1", "v2", digest_of(data)):
        check_gone(client, manifest_path("t/d-manifest", reference), "MANIFEST_UNKNOWN")
    assert client.get("/v2/t/d-manifest/tags/list").json()["tags"] == ["moved", "other"]
    assert client.get(manifest_path("t/d-manifest", "moved")).body == other


def test_deleted_blob_is_gone_here_and_stays_elsewhere(client):
    digest = client.push_blob("t/d-blob", b"here and there")
    client.push_blob("t/d-blob2", b"here and there")
    assert delete(client, f"/v2/t/d-blob/blobs/{digest}").status == 202
    check_gone(client, f"/v2/t/d-blob/blobs/{digest}", "BLOB_UNKNOWN")
    assert client.get(f"/v2/t/d-blob2/blobs/{digest}").body == b"here and there"


@pytest.mark.parametrize("path, code", [
    (manifest_path("t/d-none", "v1"), "MANIFEST_UNKNOWN"),
    (manifest_path("t/d-none", digest_of(b"none")), "MANIFEST_UNKNOWN"),
    (f"/v2/t/d-none/blobs/{digest_of(b'none')}", "BLOB_UNKNOWN"),
])
def test_what_is_not_there_is_not_found(client, path, code):
    for _ in range(2):
        reply = delete(client, path)
        assert (reply.status, reply.error_code()) == (404, code)


@pytest.mark.parametrize("path", [manifest_path("t/d-bad", "sha256:xyz"), "/v2/t/d-bad/blobs/sha256:xyz"])
def test_broken_digest_is_refused(client, path):
    reply = delete(client, path)
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


def test_what_was_deleted_can_be_pushed_again(client):
    for _ in range(3):
        data = client.push_image("t/d-again", "v1", [b"again"])
        assert client.get(manifest_path("t/d-again", "v1")).body == data
        assert client.get(f"/v2/t/d-again/blobs/{digest_of(b'again')}").body == b"again"
        assert delete(client, manifest_path("t/d-again", digest_of(data))).status == 202
        assert delete(client, f"/v2/t/d-again/blobs/{digest_of(b'again')}").status == 202


def test_blob_that_a_manifest_names_is_refused_and_the_answer_names_the_manifest(client):
    data = client.push_image("t/d-used", "v1", [b"used"])
    for blob in (b"used", json.loads(data)["config"]["digest"]):
        digest = blob if isinstance(blob, str) else digest_of(blob)
        reply = delete(client, f"/v2/t/d-used/blobs/{digest}")
        assert (reply.status, reply.error_code()) == (409, "DENIED")
        assert digest_of(data) in reply.json()["errors"][0]["message"]
        assert client.head(f"/v2/t/d-used/blobs/{digest}").status == 200
    assert delete(client, manifest_path("t/d-used", digest_of(data))).status == 202
    assert delete(client, f"/v2/t/d-used/blobs/{digest_of(b'used')}").status == 202


def test_child_of_an_index_is_refused_until_the_index_is_gone(client):
    data = client.push_image("t/d-child", "child")
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(data, minato.MANIFEST)]}).encode()
    assert client.put_manifest("t/d-child", "all", index).status == 201
    reply = delete(client, manifest_path("t/d-child", digest_of(data)))
    assert (reply.status, reply.error_code()) == (409, "DENIED")
    assert digest_of(index) in reply.json()["errors"][0]["message"]
    assert client.get(manifest_path("t/d-child", "child")).body == data
    assert delete(client, manifest_path("t/d-child", digest_of(index))).status == 202
    assert delete(client, manifest_path("t/d-child", digest_of(data))).status == 202


def test_sha512_content_is_deleted_like_any_other(client):
    config = b"{}"
    client.push_blob("t/d-512", config)
    digest = client.push_blob("t/d-512", b"long digest", "sha512")
    data = image_manifest(config, [])
    reference = digest_of(data, "sha512")
    assert client.put_manifest("t/d-512", reference, data).status == 201
    assert delete(client, manifest_path("t/d-512", reference)).status == 202
    check_gone(client, manifest_path("t/d-512", reference), "MANIFEST_UNKNOWN")
    assert delete(client, f"/v2/t/d-512/blobs/{digest}").status == 202
    check_gone(client, f"/v2/t/d-512/blobs/{digest}", "BLOB_UNKNOWN")


def test_anonymous_clients_are_asked_to_log_in(server, client):
    data = client.push_image("t/d-who", "v1")
    for path in (manifest_path("t/d-who", "v1"), manifest_path("t/d-who", digest_of(data)),
                 f"/v2/t/d-who/blobs/{digest_of(b'layer')}"):
        reply = delete(server.client(), path)
        assert (reply.status, reply.error_code()) == (401, "UNAUTHORIZED")
        assert reply.header("www-authenticate").startswith("Basic ")
    assert client.get(manifest_path("t/d-who", "v1")).status == 200


def test_nobody_deletes_where_there_are_no_users(start):
    client = start().client()
    client.push_image("t/d-open", "v1")
    reply = delete(client, manifest_path("t/d-open", "v1"))
    assert (reply.status, reply.error_code()) == (403, "DENIED")


def test_deletes_switched_off_are_unsupported_and_say_so(tmp_path):
    with server_with_user(tmp_path, storage={"delete": False}) as server:
        client = login(server)
        data = client.push_image("t/d-off", "v1")
        for path in (manifest_path("t/d-off", "v1"), manifest_path("t/d-off", digest_of(data)),
                     f"/v2/t/d-off/blobs/{digest_of(b'layer')}"):
            reply = delete(client, path)
            assert (reply.status, reply.error_code()) == (405, "UNSUPPORTED")
            assert "storage.delete" in reply.json()["errors"][0]["message"]
        assert client.get(manifest_path("t/d-off", "v1")).status == 200


def test_conditional_delete_is_refused_rather_than_done_without_its_condition(client):
    data = client.push_image("t/d-if", "v1")
    reply = delete(client, manifest_path("t/d-if", "v1"), If_Match=f'"{digest_of(data)}"')
    assert (reply.status, reply.error_code()) == (405, "UNSUPPORTED")
    assert client.get(manifest_path("t/d-if", "v1")).status == 200


def test_manifests_that_may_dangle_keep_nothing(tmp_path):
    with server_with_user(tmp_path, validation={"layers": False, "children": False}) as server:
        client = login(server)
        client.push_image("t/d-sparse", "v1", [b"loose"])
        assert delete(client, f"/v2/t/d-sparse/blobs/{digest_of(b'loose')}").status == 202
        data = image_manifest(b"not here", [b"nor this"])
        assert json.loads(data)["config"]["mediaType"] == CONFIG
        assert client.put_manifest("t/d-sparse", "v2", data).status == 201
