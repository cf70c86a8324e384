# SPDX-License-Identifier: Apache-2.0
"""What one deleted is gone in the other too, and can be pushed again by either."""
import json

import pytest

import minato
from minato import INDEX, MANIFEST, descriptor, digest_of
from registry_folder import answer, answers, tags_of

NO_MANIFEST = (404, "MANIFEST_UNKNOWN")
NO_BLOB = (404, "BLOB_UNKNOWN")
REPO = "t/deletes"


def delete(client, path):
    reply = client.request("DELETE", path)
    assert reply.status == 202, reply


def push_tags(client, tags, layer):
    """One image under several tags."""
    data = client.push_image(REPO, tags[0], [layer])
    for tag in tags[1:]:
        assert client.put_manifest(REPO, tag, data).status == 201
    return data


def check_gone(client, data, tags):
    for reference in (digest_of(data), *tags):
        assert answer(client, f"/v2/{REPO}/manifests/{reference}") == NO_MANIFEST
        assert client.head(f"/v2/{REPO}/manifests/{reference}").status == 404


@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_deleted_manifest_and_its_tags_are_gone_in_both(turns, writer, deleter):
    with turns.of(writer) as client:
        data = push_tags(client, ["latest", "v1", "v1.0"], b"goes")
        kept = client.push_image(REPO, "v2", [b"stays"])
        # Its history names what goes, its current another.
        assert client.put_manifest(REPO, "moved", data).status == 201
        assert client.put_manifest(REPO, "moved", kept).status == 201
    with turns.of(deleter) as client:
        delete(client, f"/v2/{REPO}/manifests/{digest_of(data)}")
        check_gone(client, data, ["latest", "v1", "v1.0"])
    for name in ("docker-registry", "minato", "docker-registry"):
        with turns.of(name) as client:
            check_gone(client, data, ["latest", "v1", "v1.0"])
            assert tags_of(client, REPO) == ["moved", "v2"]
            for tag in ("moved", "v2"):
                assert client.get(f"/v2/{REPO}/manifests/{tag}").body == kept
            # Its layers belong to the repository until they are deleted themselves.
            assert client.get(f"/v2/{REPO}/blobs/{digest_of(b'goes')}").body == b"goes"


@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_last_manifest_deleted_leaves_an_empty_list_of_tags(turns, writer, deleter):
    with turns.of(writer) as client:
        data = push_tags(client, ["v1"], b"goes")
    with turns.of(deleter) as client:
        delete(client, f"/v2/{REPO}/manifests/{digest_of(data)}")
    with turns.minato() as client:
        assert tags_of(client, REPO) == []
        check_gone(client, data, ["v1"])
    with turns.docker_registry() as client:
        # It knows a repository by its folder of tags, which minato may have removed with the last of them.
        assert not tags_of(client, REPO)
        check_gone(client, data, ["v1"])


def test_tag_deleted_by_minato_is_gone_in_docker_registry_and_its_manifest_stays(turns, writer):
    """Docker Registry 2.8 cannot delete a tag alone."""
    with turns.of(writer) as client:
        first = push_tags(client, ["goes"], b"first")
        data = push_tags(client, ["goes", "stays"], b"second")
    with turns.minato() as client:
        delete(client, f"/v2/{REPO}/manifests/goes")
        assert client.request("DELETE", f"/v2/{REPO}/manifests/goes").status == 404
    assert not turns.folder.tag(REPO, "goes").exists()
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            assert answer(client, f"/v2/{REPO}/manifests/goes") == NO_MANIFEST
            assert tags_of(client, REPO) == ["stays"]
            for one in (first, data):
                assert client.get(f"/v2/{REPO}/manifests/{digest_of(one)}").body == one
            assert client.get(f"/v2/{REPO}/manifests/stays").body == data


@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_deleted_blob_is_gone_in_both_and_stays_elsewhere(turns, writer, deleter):
    with turns.of(writer) as client:
        digest = client.push_blob(REPO, b"a blob no manifest names")
        client.push_blob("t/elsewhere", b"a blob no manifest names")
    with turns.of(deleter) as client:
        delete(client, f"/v2/{REPO}/blobs/{digest}")
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            assert answer(client, f"/v2/{REPO}/blobs/{digest}") == NO_BLOB
            assert client.head(f"/v2/{REPO}/blobs/{digest}").status == 404
            assert client.get(f"/v2/t/elsewhere/blobs/{digest}").body == b"a blob no manifest names"


@pytest.mark.parametrize("again", ["docker-registry", "minato"])
@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_deleted_image_can_be_pushed_again(turns, deleter, again):
    with turns.of(again) as client:
        data = push_tags(client, ["latest", "v1"], b"comes back")
        loose = client.push_blob(REPO, b"a loose blob")
    with turns.of(deleter) as client:
        delete(client, f"/v2/{REPO}/manifests/{digest_of(data)}")
        delete(client, f"/v2/{REPO}/blobs/{loose}")
        delete(client, f"/v2/{REPO}/blobs/{digest_of(b'comes back')}")
    with turns.of(again) as client:
        assert client.head(f"/v2/{REPO}/blobs/{digest_of(b'comes back')}").status == 404
        client.push_blob(REPO, b"a loose blob")
        assert push_tags(client, ["latest", "v1"], b"comes back") == data
    paths = [f"/v2/{REPO}/manifests/{reference}" for reference in ("latest", "v1", digest_of(data))]
    paths += [f"/v2/{REPO}/blobs/{digest}" for digest in (loose, digest_of(b"comes back"))]
    with turns.minato() as client:
        seen = answers(client, paths)
        assert {one[0] for one in seen.values()} == {200}
        assert tags_of(client, REPO) == ["latest", "v1"]
    with turns.docker_registry() as client:
        assert answers(client, paths) == seen
        assert tags_of(client, REPO) == ["latest", "v1"]


def test_index_and_then_its_child_deleted_by_minato_are_gone_in_docker_registry(turns, writer):
    """The child alone is not deleted while the index names it, nor a layer that a manifest names: Docker Registry would
    delete either, and leave what names it broken."""
    with turns.of(writer) as client:
        child = client.push_image(REPO, "child", [b"in the child"])
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                                   "manifests": [descriptor(child, MANIFEST)]}).encode()
        assert client.put_manifest(REPO, "index", index).status == 201
    with turns.minato() as client:
        assert client.request("DELETE", f"/v2/{REPO}/manifests/{digest_of(child)}").status in (405, 409)
        assert client.request("DELETE", f"/v2/{REPO}/blobs/{digest_of(b'in the child')}").status in (405, 409)
        delete(client, f"/v2/{REPO}/manifests/{digest_of(index)}")
        delete(client, f"/v2/{REPO}/manifests/{digest_of(child)}")
        delete(client, f"/v2/{REPO}/blobs/{digest_of(b'in the child')}")
    with turns.docker_registry() as client:
        check_gone(client, index, ["index"])
        check_gone(client, child, ["child"])
        assert answer(client, f"/v2/{REPO}/blobs/{digest_of(b'in the child')}") == NO_BLOB
        assert not tags_of(client, REPO)


def test_layers_of_what_docker_registry_deleted_half_do_not_keep_minato_from_serving(turns):
    """It deletes a child of an index, and a layer of an image."""
    with turns.docker_registry() as client:
        child = client.push_image(REPO, "child", [b"in the child"])
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                                   "manifests": [descriptor(child, MANIFEST)]}).encode()
        assert client.put_manifest(REPO, "index", index).status == 201
        image = client.push_image(REPO, "image", [b"in the image"])
        delete(client, f"/v2/{REPO}/manifests/{digest_of(child)}")
        delete(client, f"/v2/{REPO}/blobs/{digest_of(b'in the image')}")
    with turns.minato() as client:
        assert client.get(f"/v2/{REPO}/manifests/index").body == index
        assert client.get(f"/v2/{REPO}/manifests/image").body == image
        check_gone(client, child, ["child"])
        assert answer(client, f"/v2/{REPO}/blobs/{digest_of(b'in the image')}") == NO_BLOB
        assert tags_of(client, REPO) == ["image", "index"]
        # And what is broken can be deleted.
        delete(client, f"/v2/{REPO}/manifests/{digest_of(index)}")
        delete(client, f"/v2/{REPO}/manifests/{digest_of(image)}")
    with turns.docker_registry() as client:
        assert not tags_of(client, REPO)


# ---- folders that minato did not write ----

def test_manifest_of_a_very_old_folder_deleted_by_minato_is_gone_in_both(turns):
    data = turns.folder.add_image(REPO, "v1")
    digest = digest_of(data)
    turns.folder.remove(turns.folder.repository(REPO) / "_manifests" / "revisions")
    turns.folder.write(turns.folder.layer_link(REPO, digest), digest)
    with turns.minato() as client:
        assert client.get(f"/v2/{REPO}/manifests/v1").body == data
        delete(client, f"/v2/{REPO}/manifests/{digest}")
        check_gone(client, data, ["v1"])
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            check_gone(client, data, ["v1"])
            assert not tags_of(client, REPO)


@pytest.mark.parametrize("deleter", ["docker-registry", "minato"])
def test_manifest_that_is_a_blob_too_is_gone_when_it_is_deleted(turns, writer, deleter):
    """Manifests are found by layer links as well: deleting one takes both."""
    with turns.of(writer) as client:
        data = push_tags(client, ["v1"], b"a layer")
        client.push_blob(REPO, data)
    with turns.of(deleter) as client:
        delete(client, f"/v2/{REPO}/manifests/{digest_of(data)}")
        check_gone(client, data, ["v1"])
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            check_gone(client, data, ["v1"])


@pytest.mark.parametrize("left", ["index", "current", "both", "broken current", "missing revision"])
def test_tag_that_was_deleted_half_can_be_deleted_by_minato(turns, left):
    """A deletion cut short leaves a part of its folder, which is listed: deleting it again finishes it."""
    folder = turns.folder
    data = folder.add_image(REPO, "half")
    folder.add_image(REPO, "whole", "whole")
    if left == "index":
        folder.remove(folder.current_link(REPO, "half"))
    if left == "current":
        folder.remove(folder.tag(REPO, "half") / "index")
    if left == "broken current":
        folder.write(folder.current_link(REPO, "half"), "no digest")
    if left == "missing revision":
        folder.remove(folder.revision_link(REPO, digest_of(data)))
    with turns.minato() as client:
        assert tags_of(client, REPO) == ["half", "whole"]
        delete(client, f"/v2/{REPO}/manifests/half")
        assert tags_of(client, REPO) == ["whole"]
    for name in ("docker-registry", "minato"):
        with turns.of(name) as client:
            assert tags_of(client, REPO) == ["whole"]
            assert answer(client, f"/v2/{REPO}/manifests/half") == NO_MANIFEST


@pytest.mark.parametrize("left", ["", "current", "index/sha256"])
def test_empty_folder_of_a_tag_can_be_deleted_by_minato(turns, left):
    """The last steps of a deletion are folders, and a crash may leave them: listed by both, so there must be an end to it."""
    turns.folder.add_image(REPO, "whole")
    (turns.folder.tag(REPO, "half") / left).mkdir(parents=True)
    with turns.minato() as client:
        assert tags_of(client, REPO) == ["half", "whole"]
        # Nothing resolved before, so 404 is as true as 202.
        assert client.request("DELETE", f"/v2/{REPO}/manifests/half").status in (202, 404)
        assert tags_of(client, REPO) == ["whole"]
    with turns.docker_registry() as client:
        assert tags_of(client, REPO) == ["whole"]


def test_deleted_tag_with_a_history_by_sha512_leaves_no_folder(turns):
    folder = turns.folder
    data = folder.add_image(REPO, "goes")
    folder.write(folder.index_link(REPO, "goes", digest_of(data, "sha512")), digest_of(data))
    with turns.minato() as client:
        delete(client, f"/v2/{REPO}/manifests/goes")
    assert not folder.tag(REPO, "goes").exists()
