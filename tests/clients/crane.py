# SPDX-License-Identifier: Apache-2.0
"""crane (go-containerregistry): push, pull, tags, mounts, deletes."""
import images
import minato
import pytest
from images import content, tar_of

pytestmark = pytest.mark.go_client("crane")


@pytest.fixture(scope="module")
def crane(locked):
    one = images.GoTool("crane")
    one.run("auth", "login", locked.address, "-u", "alice", "--password-stdin", input=b"wonder land")
    yield one
    one.done()


def layout(tmp_path, *layers):
    digest = images.oci_layout(tmp_path / "layout", {"amd64": layers})
    return tmp_path / "layout", digest


def index_layout(tmp_path, *layers):
    """crane pushes the layout's own index.json, with what is below it."""
    images.oci_layout(tmp_path / "layout", {architecture: layers for architecture in ("amd64", "arm64", "s390x")})
    return tmp_path / "layout", minato.digest_of((tmp_path / "layout" / "index.json").read_bytes())


def test_push_and_pull_keep_every_byte(locked, crane, tmp_path):
    source, digest = layout(tmp_path, tar_of({"a.bin": content(40, 300_000)}), tar_of({"b": b"second"}))
    name = f"{locked.address}/crane/basic"
    assert crane.run("push", source, f"{name}:v1").strip() == f"{name}@{digest}"
    assert crane.run("digest", f"{name}:v1").strip() == digest
    assert minato.digest_of(crane.run("manifest", f"{name}:v1").encode()) == digest
    crane.run("validate", "--fast", "--remote", f"{name}:v1")
    crane.run("pull", "--format", "oci", f"{name}@{digest}", tmp_path / "back")
    assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(source)


def test_index_with_all_its_images(locked, crane, tmp_path):
    source, digest = index_layout(tmp_path, tar_of({"x": content(41, 1000)}))
    name = f"{locked.address}/crane/multi:all"
    crane.run("push", "--index", source, name)
    assert crane.run("digest", name).strip() == digest
    crane.run("pull", "--format", "oci", name, tmp_path / "back")
    assert set(images.layout_blobs(source)) < set(images.layout_blobs(tmp_path / "back"))  # and the index itself
    crane.run("validate", "--fast", "--remote", name)


def test_second_push_sends_no_layer(locked, crane, tmp_path):
    source, _ = layout(tmp_path, tar_of({"x.bin": content(42, 3_000_000)}))
    name = f"{locked.address}/crane/again:v1"
    crane.run("push", source, name)
    at = images.log_position(locked)
    crane.run("push", source, name)
    assert images.bytes_uploaded(locked, at) == 0


def test_tags_are_listed_in_order(locked, crane, tmp_path):
    source, digest = layout(tmp_path, tar_of({"x": b"tags"}))
    name = f"{locked.address}/crane/tags"
    crane.run("push", source, f"{name}:b")
    for tag in ("a", "10", "2", "Z"):
        crane.run("tag", f"{name}:b", tag)
    assert crane.run("ls", name).split() == ["10", "2", "Z", "a", "b"]
    assert {crane.run("digest", f"{name}:{tag}").strip() for tag in ("a", "Z")} == {digest}


def test_the_catalog_lists_what_was_pushed(locked, crane, tmp_path):
    source, _ = layout(tmp_path, tar_of({"x": b"catalog"}))
    for name in ("one", "two"):
        crane.run("push", source, f"{locked.address}/crane/catalog/{name}:v1")
    listed = crane.run("catalog", locked.address).split()
    assert {"crane/catalog/one", "crane/catalog/two"} <= set(listed)
    assert listed == sorted(listed)


def test_copy_to_another_repository_mounts_its_blobs(locked, crane, tmp_path):
    source, digest = index_layout(tmp_path, tar_of({"x.bin": content(43, 2_000_000)}))
    first, second = f"{locked.address}/crane/first:v1", f"{locked.address}/crane/deeper/second:v1"
    crane.run("push", "--index", source, first)
    at = images.log_position(locked)
    crane.run("copy", first, second)
    assert images.bytes_uploaded(locked, at) == 0
    assert crane.run("digest", second).strip() == digest
    crane.run("validate", "--fast", "--remote", second)


def test_a_deleted_tag_takes_nothing_with_it(locked, crane, tmp_path):
    source, digest = layout(tmp_path, tar_of({"x": b"delete a tag"}))
    name = f"{locked.address}/crane/untag"
    crane.run("push", source, f"{name}:keep")
    crane.run("tag", f"{name}:keep", "drop")
    crane.run("delete", f"{name}:drop")
    assert crane.run("ls", name).split() == ["keep"]
    crane.run("digest", f"{name}:drop", check=False)
    assert crane.last_code != 0
    assert crane.run("digest", f"{name}:keep").strip() == digest
    crane.run("validate", "--fast", "--remote", f"{name}:keep")


def test_a_deleted_manifest_takes_its_tags_with_it(locked, crane, tmp_path):
    source, digest = layout(tmp_path, tar_of({"x": b"delete a manifest"}))
    name = f"{locked.address}/crane/delete"
    crane.run("push", source, f"{name}:a")
    crane.run("tag", f"{name}:a", "b")
    crane.run("delete", f"{name}@{digest}")
    for reference in (f"{name}@{digest}", f"{name}:a", f"{name}:b"):
        output = crane.run("manifest", reference, check=False)
        assert crane.last_code != 0 and "MANIFEST_UNKNOWN" in output
    crane.run("push", source, f"{name}:a")
    assert crane.run("ls", name).split() == ["a"]
    crane.run("validate", "--fast", "--remote", f"{name}:a")


def test_deleting_what_is_not_there_is_said_clearly(locked, crane):
    output = crane.run("delete", f"{locked.address}/crane/none:v1", check=False)
    assert crane.last_code != 0
    assert "_UNKNOWN" in output


def test_who_is_not_logged_in_deletes_nothing(locked, crane, tmp_path):
    source, digest = layout(tmp_path, tar_of({"x": b"stays"}))
    name = f"{locked.address}/crane/stays:v1"
    crane.run("push", source, name)
    stranger = images.GoTool("crane")
    try:
        output = stranger.run("delete", name, check=False)
        assert stranger.last_code != 0 and "UNAUTHORIZED" in output
    finally:
        stranger.done()
    assert crane.run("digest", name).strip() == digest
