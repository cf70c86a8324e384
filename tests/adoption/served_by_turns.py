# SPDX-License-Identifier: Apache-2.0
"""What Docker Registry wrote is served by minato as it is, and the other way round (DESIGN.md, invariant 11)."""
import json

import minato
from images import content
from minato import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST, descriptor, digest_of
from registry_folder import answers, tags_of


def docker_manifest(config, layers):
    return json.dumps({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": descriptor(config, "application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip") for layer in layers],
    }, indent=3).encode()


def index_of(children, media_type=INDEX, child_type=MANIFEST):
    entries = [dict(descriptor(child, child_type), platform={"architecture": f"a{i}", "os": "linux"})
               for i, child in enumerate(children)]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()


def without_media_type(manifest):
    document = json.loads(manifest)
    del document["mediaType"]
    return json.dumps(document).encode()


def foreign_layer(config):
    document = json.loads(minato.image_manifest(config, []))
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    document["layers"] = [dict(descriptor(b"elsewhere", kind), urls=["https://example.com/layer"])]
    return json.dumps(document).encode()


CONFIG = b'{"architecture":"amd64","os":"linux"}'
EMPTY = b"{}"
BLOBS = [CONFIG, EMPTY, b"", b"one layer", content("large", 3_000_000)]
CHILDREN = [minato.image_manifest(CONFIG, [blob]) for blob in BLOBS[3:]]
DOCKER_CHILD = docker_manifest(CONFIG, BLOBS[3:])
INNER = index_of(CHILDREN)

# tag: (bytes, media type), in an order in which each may be pushed
MANIFESTS = {
    "oci": (CHILDREN[0], MANIFEST),
    "large": (CHILDREN[1], MANIFEST),
    "schema2": (DOCKER_CHILD, DOCKER_MANIFEST),
    "list": (index_of([DOCKER_CHILD], DOCKER_LIST, DOCKER_MANIFEST), DOCKER_LIST),
    "index": (INNER, INDEX),
    "nested": (index_of([INNER], child_type=INDEX), INDEX),
    "mixed": (index_of([DOCKER_CHILD], child_type=DOCKER_MANIFEST), INDEX),
    "untyped": (without_media_type(CHILDREN[0]), MANIFEST),
    "untyped-index": (without_media_type(INNER), INDEX),
    "artifact": (minato.image_manifest(EMPTY, [EMPTY], artifactType="application/vnd.example.thing"), MANIFEST),
    "referrer": (minato.image_manifest(EMPTY, [], subject=descriptor(CHILDREN[0], MANIFEST)), MANIFEST),
    "foreign": (foreign_layer(CONFIG), MANIFEST),
    "spaced": (minato.image_manifest(CONFIG, []) + b"\n\n ", MANIFEST),
}


def push_everything(client, repo):
    for blob in BLOBS:
        client.push_blob(repo, blob)
    for tag, (data, media_type) in MANIFESTS.items():
        assert client.put_manifest(repo, tag, data, media_type).status == 201, tag
    by_digest = minato.image_manifest(EMPTY, [CONFIG])
    assert client.put_manifest(repo, digest_of(by_digest), by_digest).status == 201
    return by_digest


def paths_of_everything(repo, *more):
    manifests = [data for data, _ in MANIFESTS.values()] + list(more)
    return ([f"/v2/{repo}/manifests/{tag}" for tag in MANIFESTS] +
            [f"/v2/{repo}/manifests/{digest_of(data)}" for data in manifests] +
            [f"/v2/{repo}/blobs/{digest_of(blob)}" for blob in BLOBS] +
            # A manifest is no blob, a blob is no tag, and what nobody pushed is not there.
            [f"/v2/{repo}/blobs/{digest_of(CHILDREN[0])}", f"/v2/{repo}/blobs/{digest_of(b'nobody pushed this')}",
             f"/v2/{repo}/manifests/{digest_of(b'nor this')}", f"/v2/{repo}/manifests/no-such-tag",
             "/v2/nobody/manifests/oci", f"/v2/nobody/blobs/{digest_of(CONFIG)}"])


def check_everything(client, repo):
    """Byte for byte, with its headers."""
    for tag, (data, media_type) in MANIFESTS.items():
        for reference in (tag, digest_of(data)):
            for method in ("GET", "HEAD"):
                reply = client.request(method, f"/v2/{repo}/manifests/{reference}")
                assert (reply.status, reply.header("content-type"), reply.header("docker-content-digest")) == \
                    (200, media_type, digest_of(data)), (tag, reply)
                assert reply.header("content-length") == str(len(data))
                assert reply.body == (data if method == "GET" else b"")
    for blob in BLOBS:
        reply = client.get(f"/v2/{repo}/blobs/{digest_of(blob)}")
        assert (reply.status, reply.body) == (200, blob)
        assert reply.header("docker-content-digest") == digest_of(blob)
    assert tags_of(client, repo) == sorted(MANIFESTS)


def test_images_of_every_kind_are_served_byte_for_byte_by_the_other(turns, writer, reader):
    repo = "team/app"
    with turns.of(writer) as client:
        by_digest = push_everything(client, repo)
        check_everything(client, repo)
        written = answers(client, paths_of_everything(repo, by_digest))
    with turns.of(reader) as client:
        check_everything(client, repo)
        assert answers(client, paths_of_everything(repo, by_digest)) == written


def test_both_write_the_same_files(make_turns):
    written = {}
    for writer in ("docker-registry", "minato"):
        turns = make_turns(writer)
        with turns.of(writer) as client:
            push_everything(client, "team/app")
        written[writer] = turns.folder.files()
    assert written["minato"] == written["docker-registry"]


def test_blob_pushed_by_its_sha512_is_served_by_the_other(turns, writer, reader):
    data = b"a blob that goes by another algorithm"
    digest = digest_of(data, "sha512")
    with turns.of(writer) as client:
        client.push_blob("t/long", data, "sha512")
    with turns.of(reader) as client:
        for method in ("GET", "HEAD"):
            reply = client.request(method, f"/v2/t/long/blobs/{digest}")
            assert (reply.status, reply.header("content-length")) == (200, str(len(data)))
            assert reply.body == (data if method == "GET" else b"")
            # Docker Registry names what its link leads to, minato what was asked for: both are true.
            assert reply.header("docker-content-digest") in (digest, digest_of(data))


def test_docker_registry_serves_a_manifest_that_minato_took_by_its_sha512(turns):
    data = CHILDREN[0]
    digest = digest_of(data, "sha512")
    with turns.minato() as client:
        client.push_blob("t/long", CONFIG)
        client.push_blob("t/long", BLOBS[3])
        assert client.put_manifest("t/long", digest, data).status == 201
        written = answers(client, [f"/v2/t/long/manifests/{digest}"])
    with turns.docker_registry() as client:
        assert answers(client, [f"/v2/t/long/manifests/{digest}"]) == written


def test_image_with_a_layer_by_sha512_is_served_by_the_other(turns, writer, reader):
    layer = b"a layer by sha512"
    document = json.loads(minato.image_manifest(CONFIG, [layer]))
    document["layers"][0]["digest"] = digest_of(layer, "sha512")
    data = json.dumps(document).encode()
    with turns.of(writer) as client:
        client.push_blob("t/long", CONFIG)
        client.push_blob("t/long", layer, "sha512")
        assert client.put_manifest("t/long", "v1", data).status == 201
    with turns.of(reader) as client:
        assert client.get("/v2/t/long/manifests/v1").body == data
        assert client.get(f"/v2/t/long/blobs/{digest_of(layer, 'sha512')}").body == layer


def test_blob_pushed_in_pieces_is_served_by_the_other(turns, writer, reader):
    pieces = [content(i, 700_001) for i in range(3)]
    digest = digest_of(b"".join(pieces))
    with turns.of(writer) as client:
        location, offset = client.begin_upload("t/pieces"), 0
        for piece in pieces:
            reply = client.request("PATCH", location, body=piece, headers={
                "Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{offset + len(piece) - 1}"})
            assert reply.status == 202, reply
            location, offset = reply.header("location"), offset + len(piece)
        reply = client.request("PUT", minato.with_query(location, digest=digest), headers={"Content-Length": "0"})
        assert reply.status == 201, reply
    with turns.of(reader) as client:
        assert client.get(f"/v2/t/pieces/blobs/{digest}").body == b"".join(pieces)
        reply = client.get(f"/v2/t/pieces/blobs/{digest}", Range="bytes=700000-700002")
        assert (reply.status, reply.body) == (206, b"".join(pieces)[700_000:700_003])


def test_folder_written_by_turns_is_one_registry(turns):
    """Each takes up what the other left: blobs are not sent twice, tags are moved, both say the same at the end."""
    repo, tags = "t/turns", {}
    base = content("base", 200_000)
    for i, writer in enumerate(("docker-registry", "minato", "docker-registry", "minato", "minato", "docker-registry")):
        with turns.of(writer) as client:
            for tag, data in tags.items():
                assert client.get(f"/v2/{repo}/manifests/{tag}").body == data
            if i == 0:
                client.push_blob(repo, CONFIG)
                client.push_blob(repo, base)
            layer = b"layer %d" % i
            client.push_blob(repo, layer)
            data = minato.image_manifest(CONFIG, [base, layer])
            for tag in ("latest", f"v{i}"):
                assert client.put_manifest(repo, tag, data).status == 201
            tags.update({"latest": data, f"v{i}": data})
            assert tags_of(client, repo) == sorted(tags)
    paths = [f"/v2/{repo}/manifests/{tag}" for tag in tags]
    paths += [f"/v2/{repo}/manifests/{digest_of(data)}" for data in tags.values()]
    with turns.minato() as client:
        seen = answers(client, paths)
        assert tags_of(client, repo) == sorted(tags)
    with turns.docker_registry() as client:
        assert answers(client, paths) == seen
        assert tags_of(client, repo) == sorted(tags)


def test_blob_of_a_repository_that_the_other_wrote_can_be_mounted(turns, writer, reader):
    with turns.of(writer) as client:
        digest = client.push_blob("t/from", b"shared")
    with turns.of(reader) as client:
        reply = client.request("POST", f"/v2/t/to/blobs/uploads/?mount={digest}&from=t/from",
                               headers={"Content-Length": "0"})
        assert reply.status == 201, reply
    with turns.of(writer) as client:
        assert client.get(f"/v2/t/to/blobs/{digest}").body == b"shared"


def test_tag_moved_by_one_is_seen_moved_by_the_other(turns, writer, reader):
    with turns.of(writer) as client:
        first = client.push_image("t/moved", "latest", [b"first"])
    with turns.of(reader) as client:
        second = client.push_image("t/moved", "latest", [b"second"])
    with turns.of(writer) as client:
        assert client.get("/v2/t/moved/manifests/latest").body == second
        assert client.get(f"/v2/t/moved/manifests/{digest_of(first)}").body == first
        assert tags_of(client, "t/moved") == ["latest"]
        assert client.put_manifest("t/moved", "latest", first).status == 201
    with turns.of(reader) as client:
        assert client.get("/v2/t/moved/manifests/latest").body == first


def test_many_tags_are_the_same_list_in_both(turns, writer, reader):
    tags = ["0", "10", "2", "A", "Z", "_x", "a", "a-b", "a.b", "a0", "latest", "v1", "v1-a", "v1.0", "x" * 128]
    with turns.of(writer) as client:
        client.push_blob("t/tags", EMPTY)
        for tag in tags:
            assert client.put_manifest("t/tags", tag, minato.image_manifest(EMPTY, [])).status == 201
        assert tags_of(client, "t/tags") == sorted(tags)
    with turns.of(reader) as client:
        assert tags_of(client, "t/tags") == sorted(tags)


NAMES = ["a", "a/b", "a/b/c", "a-b", "a.b/c__d", "a/blobs/uploads", "a/manifests", "a/manifests/b", "a/tags/list",
         "a/tags", "blobs", "minato", "minato/bytes", "docker/registry/v2", "v2", "0", "x" * 200]


def test_repositories_below_each_other_and_with_odd_names_are_kept_apart(turns, writer, reader):
    with turns.of(writer) as client:
        written = {name: client.push_image(name, "v1", [name.encode()]) for name in NAMES}
    with turns.of(reader) as client:
        for name, data in written.items():
            assert client.get(f"/v2/{name}/manifests/v1").body == data
            assert client.get(f"/v2/{name}/blobs/{digest_of(name.encode())}").body == name.encode()
            assert tags_of(client, name) == ["v1"]
            others = [other for other in NAMES if other != name]
            assert client.get(f"/v2/{name}/blobs/{digest_of(others[0].encode())}").status == 404
