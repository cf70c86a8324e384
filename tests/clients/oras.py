# SPDX-License-Identifier: Apache-2.0
"""oras: files as artifacts, what is attached to them, and finding it again."""
import json

import images
import minato
import pytest
from images import content, tar_of

pytestmark = pytest.mark.go_client("oras")


class Oras(images.GoTool):
    def __init__(self, address):
        super().__init__("oras")
        self.run("login", "--plain-http", "-u", "alice", "--password-stdin", address, input=b"wonder land")

    def json(self, *arguments, **kwargs):
        return json.loads(self.run(*arguments, "--format", "json", **kwargs))

    def copy(self, source, target, *more, **kwargs):
        return self.run("cp", "--no-tty", "--from-plain-http", "--to-plain-http", *more, source, target, **kwargs)

    def push(self, reference, *files, folder):
        return self.json("push", "--plain-http", "--no-tty", "--artifact-type", "application/vnd.example.thing", reference,
                         *files, cwd=folder)["digest"]

    def attach(self, reference, kind, *more):
        """The digest of a referrer without files."""
        return self.json("attach", "--plain-http", "--no-tty", "--artifact-type", kind, "--annotation", f"kind={kind}",
                         *more, reference)["digest"]

    def referrers(self, reference, *more):
        """Its direct referrers as {digest: artifact type}."""
        found = self.json("discover", "--plain-http", "--depth", "1", *more, reference)
        return {one["digest"]: one["artifactType"] for one in found.get("referrers") or []}


@pytest.fixture(scope="module")
def oras(locked):
    one = Oras(locked.address)
    yield one
    one.done()


@pytest.fixture
def thing(tmp_path):
    (tmp_path / "thing.bin").write_bytes(content(50, 200_000))
    return tmp_path


def test_files_come_back_as_they_were(locked, oras, tmp_path):
    work = tmp_path / "work"
    (work / "folder").mkdir(parents=True)
    (work / "a.bin").write_bytes(content(51, 400_000))
    (work / "empty").write_bytes(b"")
    (work / "folder" / "b.txt").write_bytes(b"in a folder")
    name = f"{locked.address}/oras/files:v1"
    digest = oras.push(name, "a.bin", "empty:text/plain", "folder", folder=work)
    assert oras.run("resolve", "--plain-http", name).strip() == digest
    assert minato.digest_of(oras.run("manifest", "fetch", "--plain-http", name).encode()) == digest
    oras.run("pull", "--plain-http", "--no-tty", "-o", tmp_path / "back", f"{name.rsplit(':', 1)[0]}@{digest}")
    for path in ("a.bin", "empty", "folder/b.txt"):
        assert (tmp_path / "back" / path).read_bytes() == (work / path).read_bytes()


def test_attached_artifacts_are_discovered_by_the_referrers_api(locked, oras, alice, thing):
    name = f"{locked.address}/oras/attach"
    digest = oras.push(f"{name}:v1", "thing.bin", folder=thing)
    assert oras.referrers(f"{name}:v1") == {}
    first = oras.attach(f"{name}:v1", "application/vnd.example.sbom")
    second = oras.attach(f"{name}@{digest}", "application/vnd.example.signature+json")
    assert oras.referrers(f"{name}:v1") == {first: "application/vnd.example.sbom",
                                            second: "application/vnd.example.signature+json"}
    assert oras.referrers(f"{name}:v1", "--artifact-type", "application/vnd.example.signature+json") == {
        second: "application/vnd.example.signature+json"}
    # No tag "sha256-...": the client saw that the registry keeps the list itself.
    assert alice.get("/v2/oras/attach/tags/list").json()["tags"] == ["v1"]
    listed = alice.get(f"/v2/oras/attach/referrers/{digest}").json()["manifests"]
    assert {one["annotations"]["kind"] for one in listed} == {one["artifactType"] for one in listed}


def test_referrers_of_referrers_are_a_tree(locked, oras, thing):
    name = f"{locked.address}/oras/tree"
    oras.push(f"{name}:v1", "thing.bin", folder=thing)
    sbom = oras.attach(f"{name}:v1", "application/vnd.example.sbom")
    signature = oras.attach(f"{name}@{sbom}", "application/vnd.example.signature")
    shown = oras.run("discover", "--plain-http", "--no-tty", f"{name}:v1")
    assert sbom in shown and signature in shown
    assert oras.referrers(f"{name}:v1") == {sbom: "application/vnd.example.sbom"}


def test_a_list_kept_as_a_tag_is_found_too(locked, oras, thing):
    """What a client attached that knew no referrers API; the tag scheme reads on, too."""
    name = f"{locked.address}/oras/fallback"
    oras.push(f"{name}:v1", "thing.bin", folder=thing)
    by_tag = oras.attach(f"{name}:v1", "application/vnd.example.old", "--distribution-spec", "v1.1-referrers-tag")
    by_api = oras.attach(f"{name}:v1", "application/vnd.example.new", "--distribution-spec", "v1.1-referrers-api")
    assert set(oras.referrers(f"{name}:v1")) == {by_tag, by_api}
    assert by_tag in oras.referrers(f"{name}:v1", "--distribution-spec", "v1.1-referrers-tag")


def test_a_deleted_referrer_is_listed_no_more(locked, oras, thing):
    name = f"{locked.address}/oras/detach"
    oras.push(f"{name}:v1", "thing.bin", folder=thing)
    gone = oras.attach(f"{name}:v1", "application/vnd.example.gone")
    stays = oras.attach(f"{name}:v1", "application/vnd.example.stays")
    oras.run("manifest", "delete", "--plain-http", "--force", f"{name}@{gone}")
    assert oras.referrers(f"{name}:v1") == {stays: "application/vnd.example.stays"}


def test_copy_with_referrers_mounts_every_blob(locked, oras, thing, tmp_path):
    first, second = f"{locked.address}/oras/first", f"{locked.address}/oras/second"
    digest = oras.push(f"{first}:v1", "thing.bin", folder=thing)
    sbom = oras.attach(f"{first}:v1", "application/vnd.example.sbom")
    signature = oras.attach(f"{first}@{sbom}", "application/vnd.example.signature")
    at = images.log_position(locked)
    oras.copy(f"{first}:v1", f"{second}:v2", "--recursive")
    assert images.bytes_uploaded(locked, at) == 0
    assert oras.run("resolve", "--plain-http", f"{second}:v2").strip() == digest
    assert set(oras.referrers(f"{second}:v2")) == {sbom}
    assert set(oras.referrers(f"{second}@{sbom}")) == {signature}
    oras.run("pull", "--plain-http", "--no-tty", "-o", tmp_path / "back", f"{second}:v2")
    assert (tmp_path / "back" / "thing.bin").read_bytes() == (thing / "thing.bin").read_bytes()


def test_an_image_goes_to_a_layout_and_back(locked, oras, tmp_path):
    digest = images.oci_layout(tmp_path / "there", {"amd64": [tar_of({"a": b"1"})], "arm64": [tar_of({"a": b"2"})]})
    name = f"{locked.address}/oras/layout:v1"
    oras.run("cp", "--no-tty", "--from-oci-layout", "--to-plain-http", f"{tmp_path / 'there'}:latest", name)
    oras.run("cp", "--no-tty", "--to-oci-layout", "--from-plain-http", name, f"{tmp_path / 'back'}:latest")
    assert oras.run("resolve", "--plain-http", name).strip() == digest
    assert set(images.layout_blobs(tmp_path / "back")) == set(images.layout_blobs(tmp_path / "there"))


def test_tags_and_repositories_are_listed(locked, oras, thing):
    name = f"{locked.address}/oras/lists/one"
    oras.push(f"{name}:v1", "thing.bin", folder=thing)
    oras.run("tag", "--plain-http", f"{name}:v1", "v2", "v10")
    assert oras.run("repo", "tags", "--plain-http", name).split() == ["v1", "v10", "v2"]
    assert "one" in oras.run("repo", "ls", "--plain-http", f"{locked.address}/oras/lists").split()


def test_blobs_are_pushed_fetched_and_deleted(locked, oras, tmp_path):
    data = content(52, 100_000)
    (tmp_path / "blob").write_bytes(data)
    name = f"{locked.address}/oras/blobs@{minato.digest_of(data)}"
    oras.run("blob", "push", "--plain-http", "--no-tty", name, tmp_path / "blob")
    oras.run("blob", "fetch", "--plain-http", "--no-tty", "-o", tmp_path / "back", name)
    assert (tmp_path / "back").read_bytes() == data
    oras.run("blob", "delete", "--plain-http", "--force", name)
    oras.run("blob", "fetch", "--plain-http", "--descriptor", name, check=False)
    assert oras.last_code != 0
