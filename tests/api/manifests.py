# SPDX-License-Identifier: Apache-2.0
"""Which manifests are taken, which refused, and why."""
import json

import pytest

import minato
from minato import CONFIG, DOCKER_LIST, DOCKER_MANIFEST, INDEX, LAYER, MANIFEST, descriptor, digest_of


def docker_manifest(config, layers):
    return json.dumps({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": descriptor(config, "application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip") for layer in layers],
    }).encode()


def index_of(children, media_type=INDEX, **more):
    document = {"schemaVersion": 2, "mediaType": media_type,
                "manifests": [dict(descriptor(child, MANIFEST),
                                   platform={"architecture": f"a{i}", "os": "linux"}) for i, child in enumerate(children)]}
    document.update(more)
    return json.dumps(document).encode()


def put_and_check(client, repo, reference, data, media_type):
    reply = client.put_manifest(repo, reference, data, media_type)
    assert reply.status == 201, reply
    digest = digest_of(data)
    assert reply.header("docker-content-digest") == digest
    assert reply.header("location").endswith(f"/v2/{repo}/manifests/{digest}")
    reply = client.get(f"/v2/{repo}/manifests/{reference}")
    assert (reply.status, reply.body, reply.header("content-type")) == (200, data, media_type)


def test_docker_manifest_and_list_keep_their_type(client, repo):
    client.push_blob(repo, b"{}")
    client.push_blob(repo, b"layer")
    child = docker_manifest(b"{}", [b"layer"])
    put_and_check(client, repo, "v1", child, DOCKER_MANIFEST)
    put_and_check(client, repo, "list", index_of([child], DOCKER_LIST), DOCKER_LIST)


def test_index_of_two_platforms_and_an_index_in_an_index(client, repo):
    children = [client.push_image(repo, f"p{i}", [b"p%d" % i]) for i in (0, 1)]
    inner = index_of(children)
    put_and_check(client, repo, "both", inner, INDEX)
    outer = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(inner, INDEX)]}).encode()
    put_and_check(client, repo, "outer", outer, INDEX)


def test_empty_index_is_taken(client, repo):
    put_and_check(client, repo, "empty", index_of([]), INDEX)


def test_manifest_without_media_type_is_served_as_it_was_pushed(client, repo):
    client.push_blob(repo, b"{}")
    document = json.loads(minato.image_manifest(b"{}", []))
    del document["mediaType"]
    put_and_check(client, repo, "v1", json.dumps(document).encode(), MANIFEST)


def test_parameters_of_the_content_type_are_not_kept(client, repo):
    client.push_blob(repo, b"{}")
    manifest = minato.image_manifest(b"{}", [])
    assert client.put_manifest(repo, "v1", manifest, MANIFEST + "; charset=utf-8").status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").header("content-type") == MANIFEST


def test_artifact_with_the_empty_config_and_unknown_fields_is_taken(client, repo):
    client.push_blob(repo, b"{}")
    document = json.loads(minato.image_manifest(b"{}", [b"{}"], artifactType="application/vnd.example.thing"))
    document["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"
    document["layers"][0]["mediaType"] = "application/vnd.oci.empty.v1+json"
    document["org.example.more"] = {"deep": [1, 2, {"x": None}]}
    put_and_check(client, repo, "artifact", json.dumps(document).encode(), MANIFEST)


def test_subject_that_is_not_here_is_taken_and_answered(client, repo):
    client.push_blob(repo, b"{}")
    missing = dict(descriptor(b"not here", MANIFEST))
    reply = client.put_manifest(repo, "ref", minato.image_manifest(b"{}", [], subject=missing))
    assert reply.status == 201
    # OCI-Subject promises the referrers API: without it clients keep the list in a tag themselves.
    listed = client.get(f"/v2/{repo}/referrers/{missing['digest']}")
    assert (reply.header("oci-subject") == missing["digest"]) == (listed.status == 200)


def test_missing_layer_and_config_are_both_named(client, repo):
    reply = client.put_manifest(repo, "v1", minato.image_manifest(b"no config", [b"no layer"]))
    assert reply.status in (400, 404)
    assert reply.error_code() == "MANIFEST_BLOB_UNKNOWN"
    named = {error["detail"]["digest"] for error in reply.json()["errors"]}
    assert named == {digest_of(b"no config"), digest_of(b"no layer")}
    assert client.get(f"/v2/{repo}/manifests/v1").status == 404


def test_layer_of_another_repository_does_not_count(client, repo):
    client.push_blob(repo + "-a", b"config")
    reply = client.put_manifest(repo + "-b", "v1", minato.image_manifest(b"config", []))
    assert reply.error_code() == "MANIFEST_BLOB_UNKNOWN"


def test_missing_layer_is_taken_where_validation_is_off(start):
    server = start(config={"validation": {"layers": False, "children": False}})
    client = server.client()
    assert client.put_manifest("t/off", "v1", minato.image_manifest(b"none", [b"none either"])).status == 201
    assert client.put_manifest("t/off", "v2", index_of([b"no child"])).status == 201


def test_foreign_layer_need_not_be_here(client, repo):
    client.push_blob(repo, b"{}")
    for kind in ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                 "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"):
        document = json.loads(minato.image_manifest(b"{}", []))
        document["layers"] = [dict(descriptor(b"elsewhere", kind), urls=["https://example.com/layer"])]
        assert client.put_manifest(repo, "foreign", json.dumps(document).encode()).status == 201


def test_index_with_a_missing_child_is_refused(client, repo):
    reply = client.put_manifest(repo, "v1", index_of([b"no such manifest"]))
    assert reply.status in (400, 404)
    assert reply.error_code() in ("MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("data", [
    b"", b"not json", b"{", b"[]", b"null", b"42", b'"text"', b"{}",
    b'{"schemaVersion":2}',
    b'{"schemaVersion":2,"config":"x","layers":[]}',
    b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:zz","size":1},"layers":[]}',
    b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:' + b"0" * 64 + b'","size":-1},"layers":[]}',
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b"[" * 100_000,
    b'{"schemaVersion":2,"mediaType":"\xff\xfe"}',
], ids=lambda data: repr(data[:30]))
def test_what_is_no_manifest_answers_400(client, data):
    reply = client.request("PUT", "/v2/t/none/manifests/v1", body=data, headers={"Content-Type": MANIFEST})
    assert (reply.status, reply.error_code()) == (400, "MANIFEST_INVALID")
    assert client.get("/v2/t/none/manifests/v1").status == 404


def test_schema_1_is_refused_with_a_word_on_what_to_do(client, repo):
    data = json.dumps({"schemaVersion": 1, "name": repo, "tag": "v1", "fsLayers": [], "history": []}).encode()
    for kind in ("application/vnd.docker.distribution.manifest.v1+prettyjws",
                 "application/vnd.docker.distribution.manifest.v1+json"):
        reply = client.put_manifest(repo, "v1", data, kind)
        assert (reply.status, reply.error_code()) == (400, "MANIFEST_INVALID")
        assert len(reply.json()["errors"][0]["message"]) > 20


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/html", "nonsense"])
def test_media_type_that_is_no_manifest_is_refused(client, kind):
    client.push_blob("t/kind", b"{}")
    reply = client.put_manifest("t/kind", "v1", minato.image_manifest(b"{}", []), kind)
    assert (reply.status, reply.error_code()) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["v1", "V1.0_x-y", "_", "0", "a" * 128])
def test_valid_tag_is_taken(client, tag):
    client.push_blob("t/tagged", b"{}")
    assert client.put_manifest("t/tagged", tag, minato.image_manifest(b"{}", [])).status == 201
    assert client.head(f"/v2/t/tagged/manifests/{tag}").status == 200


@pytest.mark.parametrize("tag", [".a", "-a", "a" * 129, "a%20b", "a%2Fb", "%C3%A4", "a,b"])
def test_invalid_tag_answers_400(client, tag):
    client.push_blob("t/tagged", b"{}")
    reply = client.put_manifest("t/tagged", tag, minato.image_manifest(b"{}", []))
    assert reply.status == 400
    assert reply.error_code() in ("TAG_INVALID", "MANIFEST_INVALID", "NAME_INVALID")


def test_manifest_of_4_mib_is_taken_and_a_larger_one_answers_413(client, repo):
    client.push_blob(repo, b"{}")
    bare = json.loads(minato.image_manifest(b"{}", []))
    bare["annotations"] = {"pad": ""}
    room = 4 * 1024 * 1024 - len(json.dumps(bare))
    bare["annotations"]["pad"] = "x" * room
    data = json.dumps(bare).encode()
    assert len(data) == 4 * 1024 * 1024
    put_and_check(client, repo, "big", data, MANIFEST)
    reply = client.put_manifest(repo, "bigger", data + b" ")
    assert (reply.status, reply.error_code()) == (413, "SIZE_INVALID")


def test_chunked_manifest_over_the_limit_answers_413(client, repo):
    pieces = (b" " * 65_536 for _ in range(80))
    reply = client.request("PUT", f"/v2/{repo}/manifests/v1", body=pieces, chunked=True,
                           headers={"Content-Type": MANIFEST, "Transfer-Encoding": "chunked"})
    assert (reply.status, reply.error_code()) == (413, "SIZE_INVALID")


def test_manifest_may_come_chunked(client, repo):
    client.push_blob(repo, b"{}")
    data = minato.image_manifest(b"{}", [])
    reply = client.request("PUT", f"/v2/{repo}/manifests/v1", body=iter([data[:10], data[10:]]), chunked=True,
                           headers={"Content-Type": MANIFEST, "Transfer-Encoding": "chunked"})
    assert reply.status == 201
    assert client.get(f"/v2/{repo}/manifests/v1").body == data


def test_layers_and_config_types_are_the_users_business(client, repo):
    client.push_blob(repo, b"{}")
    document = json.loads(minato.image_manifest(b"{}", [b"{}"]))
    document["config"]["mediaType"] = CONFIG
    document["layers"][0]["mediaType"] = LAYER + "+zstd"
    assert client.put_manifest(repo, "zstd", json.dumps(document).encode()).status == 201
