# SPDX-License-Identifier: Apache-2.0
"""`docker-registry garbage-collect` on a folder that minato wrote."""
import json

import minato
from minato import INDEX, MANIFEST, descriptor, digest_of
from registry_folder import answer, answers, tags_of

NO_MANIFEST = (404, "MANIFEST_UNKNOWN")
NO_BLOB = (404, "BLOB_UNKNOWN")
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()


def index_of(*children):
    kind = json.loads(children[0])["mediaType"]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                       "manifests": [descriptor(child, kind) for child in children]}).encode()


class Written:
    """What the tests push: manifests by tag, those without one, and all their blobs."""

    def __init__(self, client):
        push = client.push_image
        self.tagged = {"v1": push("t/gc", "v1", [b"one", b"shared"]), "v2": push("t/gc", "v2", [b"two", b"shared"])}
        # By digest only; and what a tag named before it was moved.
        self.untagged = [minato.image_manifest(CONFIG, [b"two"]), push("t/gc", "moved", [b"before"])]
        assert client.put_manifest("t/gc", digest_of(self.untagged[0]), self.untagged[0]).status == 201
        self.tagged["moved"] = push("t/gc", "moved", [b"after"])
        # A layer by its sha512, and a blob that another repository has too.
        client.push_blob("t/gc", b"long", "sha512")
        document = json.loads(minato.image_manifest(CONFIG, [b"long"]))
        document["layers"][0]["digest"] = digest_of(b"long", "sha512")
        self.tagged["long"] = json.dumps(document).encode()
        assert client.put_manifest("t/gc", "long", self.tagged["long"]).status == 201
        assert client.request("POST", f"/v2/t/gc-b/c/blobs/uploads/?mount={digest_of(b'one')}&from=t/gc",
                              headers={"Content-Length": "0"}).status == 201
        self.elsewhere = client.push_image("t/gc-b/c", "v1", [b"one"])
        self.blobs = [b"one", b"two", b"shared", b"before", b"after", CONFIG]
        self.garbage = client.push_blob("t/gc", b"a blob that no manifest names")

    def paths(self):
        manifests = [*self.tagged.values(), *self.untagged]
        return ([f"/v2/t/gc/manifests/{tag}" for tag in self.tagged] +
                [f"/v2/t/gc/manifests/{digest_of(data)}" for data in manifests] +
                [f"/v2/t/gc/blobs/{digest_of(blob)}" for blob in self.blobs] +
                [f"/v2/t/gc/blobs/{digest_of(b'long', 'sha512')}", "/v2/t/gc-b/c/manifests/v1",
                 f"/v2/t/gc-b/c/blobs/{digest_of(b'one')}"])


def test_collected_folder_still_has_everything_that_is_referenced(turns):
    with turns.minato() as client:
        written = Written(client)
        before = answers(client, written.paths())
        assert {one[0] for one in before.values()} == {200}
    files = turns.folder.files()
    turns.garbage_collect()
    removed = set(files) - set(turns.folder.files())
    assert removed == {str(turns.folder.data(written.garbage).relative_to(turns.root))}
    with turns.minato() as client:
        assert answers(client, written.paths()) == before
        assert tags_of(client, "t/gc") == sorted(written.tagged)
        # Its link stayed, its bytes are gone: it is not there, and comes back when it is pushed.
        path = f"/v2/t/gc/blobs/{written.garbage}"
        assert answer(client, path) == NO_BLOB
        reply = client.request("POST", f"/v2/t/gc-b/c/blobs/uploads/?mount={written.garbage}&from=t/gc",
                               headers={"Content-Length": "0"})
        assert reply.status == 202
        data = minato.image_manifest(b"a blob that no manifest names", [])
        assert client.put_manifest("t/gc", "v3", data).error_code() == "MANIFEST_BLOB_UNKNOWN"
        client.push_blob("t/gc", b"a blob that no manifest names")
        assert client.put_manifest("t/gc", "v3", data).status == 201
        assert client.get(path).body == b"a blob that no manifest names"
    with turns.docker_registry() as client:
        assert answers(client, written.paths()) == before
        assert client.get(path).body == b"a blob that no manifest names"


def test_collected_folder_has_indexes_with_their_children(turns):
    with turns.minato() as client:
        children = [client.push_image("t/gc", f"c{i}", [b"child %d" % i]) for i in range(2)]
        inner = index_of(*children)
        outer = index_of(inner)
        for data in (inner, outer):
            assert client.put_manifest("t/gc", digest_of(data), data).status == 201
        paths = [f"/v2/t/gc/manifests/{digest_of(data)}" for data in (*children, inner, outer)]
        paths += [f"/v2/t/gc/blobs/{digest_of(b'child %d' % i)}" for i in range(2)]
        before = answers(client, paths)
    files = turns.folder.files()
    turns.garbage_collect()
    assert turns.folder.files() == files
    with turns.minato() as client:
        assert answers(client, paths) == before


def test_collected_folder_without_its_untagged_manifests_has_all_that_is_tagged(turns):
    with turns.minato() as client:
        written = Written(client)
        untagged = {f"/v2/t/gc/manifests/{digest_of(data)}" for data in written.untagged}
        gone = untagged | {f"/v2/t/gc/blobs/{digest_of(b'before')}"}
        kept = [path for path in written.paths() if path not in gone]
        before = answers(client, kept)
    turns.garbage_collect("--delete-untagged")
    with turns.minato() as client:
        assert answers(client, kept) == before
        assert tags_of(client, "t/gc") == sorted(written.tagged)
        for path in gone:
            assert answer(client, path) in (NO_MANIFEST, NO_BLOB)
        everything = answers(client, written.paths())
        # What was removed can be pushed again.
        assert client.push_image("t/gc", "back", [b"before"]) == written.untagged[1]
    with turns.docker_registry() as client:
        assert client.get("/v2/t/gc/manifests/back").body == written.untagged[1]
        back = {f"/v2/t/gc/manifests/{digest_of(written.untagged[1])}", f"/v2/t/gc/blobs/{digest_of(b'before')}"}
        for (method, path), expected in everything.items():
            if path not in back:
                assert answer(client, path, method) == expected


def test_index_whose_untagged_children_were_collected_is_served_and_can_be_mended(turns):
    """Docker Registry 2.8 counts the children of an index as untagged: whoever collects like that loses them. minato says
    the same as Docker Registry afterwards, takes no new index of them, and takes them back."""
    with turns.minato() as client:
        for blob in (CONFIG, b"child"):
            client.push_blob("t/gc", blob)
        child = minato.image_manifest(CONFIG, [b"child"])
        assert client.put_manifest("t/gc", digest_of(child), child).status == 201
        index = index_of(child)
        assert client.put_manifest("t/gc", "index", index).status == 201
    turns.garbage_collect("--delete-untagged")
    paths = ["/v2/t/gc/manifests/index", f"/v2/t/gc/manifests/{digest_of(child)}", f"/v2/t/gc/blobs/{digest_of(b'child')}"]
    with turns.docker_registry() as client:
        left = answers(client, paths)
        assert client.get("/v2/t/gc/manifests/index").body == index
    with turns.minato() as client:
        assert answers(client, paths) == left
        assert client.put_manifest("t/gc", "again", index).status in (400, 404)
        for blob in (CONFIG, b"child"):
            client.push_blob("t/gc", blob)
        assert client.put_manifest("t/gc", digest_of(child), child).status == 201
        assert client.put_manifest("t/gc", "again", index).status == 201
    with turns.docker_registry() as client:
        assert client.get(f"/v2/t/gc/manifests/{digest_of(child)}").body == child


def test_what_minato_deleted_is_collected(turns):
    with turns.minato() as client:
        kept = client.push_image("t/gc", "kept", [b"kept", b"shared"])
        data = client.push_image("t/gc", "gone", [b"gone", b"shared"])
        assert client.request("DELETE", f"/v2/t/gc/manifests/{digest_of(data)}").status == 202
    turns.garbage_collect()
    for digest in (digest_of(data), digest_of(b"gone")):
        assert not turns.folder.data(digest).exists()
    for digest in (digest_of(kept), digest_of(b"kept"), digest_of(b"shared")):
        assert turns.folder.data(digest).exists()
    for name in ("minato", "docker-registry"):
        with turns.of(name) as client:
            assert client.get("/v2/t/gc/manifests/kept").body == kept
            assert client.get(f"/v2/t/gc/blobs/{digest_of(b'shared')}").body == b"shared"
            assert answer(client, f"/v2/t/gc/blobs/{digest_of(b'gone')}") == NO_BLOB
            assert tags_of(client, "t/gc") == ["kept"]


def test_tag_that_minato_deleted_makes_its_manifest_an_untagged_one(turns):
    with turns.minato() as client:
        kept = client.push_image("t/gc", "kept", [b"kept"])
        data = client.push_image("t/gc", "gone", [b"gone"])
        assert client.request("DELETE", "/v2/t/gc/manifests/gone").status == 202
    turns.garbage_collect()
    assert turns.folder.data(digest_of(data)).exists()
    turns.garbage_collect("--delete-untagged")
    assert not turns.folder.data(digest_of(data)).exists()
    with turns.minato() as client:
        assert client.get("/v2/t/gc/manifests/kept").body == kept
        assert answer(client, f"/v2/t/gc/manifests/{digest_of(data)}") == NO_MANIFEST
