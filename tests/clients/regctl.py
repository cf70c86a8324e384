# SPDX-License-Identifier: Apache-2.0
"""regctl (regclient): images, tags, artifacts and their trees, deletes."""
import json

import images
import minato
import pytest
from images import content, tar_of

pytestmark = pytest.mark.go_client("regctl")


class Regctl(images.GoTool):
    def __init__(self, address, *settings):
        super().__init__("regctl")
        self.run("registry", "set", "--tls", "disabled", "--skip-check", *settings, address)
        self.run("registry", "login", "-u", "alice", "--pass-stdin", address, input=b"wonder land")


@pytest.fixture(scope="module")
def regctl(locked):
    one = Regctl(locked.address)
    yield one
    one.done()


def push(regctl, tmp_path, target, *layers, name="layout", architectures=("amd64",)):
    digest = images.oci_layout(tmp_path / name, {architecture: layers for architecture in architectures})
    regctl.run("image", "copy", f"ocidir://{tmp_path / name}:latest", target)
    return digest


def referrers(regctl, reference, *more):
    """{digest: artifact type} of its referrers."""
    listed = json.loads(regctl.run("artifact", "list", reference, "--format", "{{json .Descriptors}}", *more)) or []
    return {one["digest"]: one["artifactType"] for one in listed}


def attach(regctl, subject, kind, data=b"attached", *more):
    return regctl.run("artifact", "put", "--subject", subject, "--artifact-type", kind, "--annotation", f"kind={kind}",
                      "--format", "{{.Manifest.GetDescriptor.Digest}}", *more, input=data).strip()


def test_push_and_pull_keep_every_byte(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/basic:v1"
    digest = push(regctl, tmp_path, name, tar_of({"a.bin": content(60, 300_000)}), tar_of({"b": b"second"}))
    assert regctl.run("image", "digest", name).strip() == digest
    assert regctl.run("manifest", "head", name).strip() == digest
    body = regctl.run("manifest", "get", "--format", "raw-body", name)
    assert minato.digest_of(body.encode()) == digest
    regctl.run("image", "copy", name, f"ocidir://{tmp_path / 'back'}:latest")
    assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(tmp_path / "layout")


def test_blobs_in_chunks(locked, regctl, tmp_path):
    """Above blob-max regctl sends pieces with Content-Range, of the size that OCI-Chunk-Min-Length asks for."""
    chunked = Regctl(locked.address, "--blob-max", "1000000")
    try:
        name = f"{locked.address}/regctl/chunks:v1"
        digest = push(chunked, tmp_path, name, tar_of({"a.bin": content(61, 14_000_000)}))
    finally:
        chunked.done()
    assert regctl.run("image", "digest", name).strip() == digest
    regctl.run("image", "copy", name, f"ocidir://{tmp_path / 'back'}:latest")
    assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(tmp_path / "layout")
    pieces = [line["bytes_in"] for line in images.requests_logged(locked)
              if line["method"] == "PATCH" and line["path"].startswith("/v2/regctl/chunks/")]
    assert len(pieces) >= 2 and len(set(pieces[:-1])) == 1 and pieces[-1] <= pieces[0]


def test_copy_to_another_repository_mounts_its_blobs(locked, regctl, tmp_path):
    first, second = f"{locked.address}/regctl/first:v1", f"{locked.address}/regctl/second:v1"
    digest = push(regctl, tmp_path, first, tar_of({"x.bin": content(62, 2_000_000)}), architectures=("amd64", "arm64"))
    at = images.log_position(locked)
    regctl.run("image", "copy", first, second)
    assert images.bytes_uploaded(locked, at) == 0
    assert regctl.run("image", "digest", second).strip() == digest
    assert regctl.run("manifest", "diff", first, second).strip() == ""
    regctl.run("image", "copy", second, f"ocidir://{tmp_path / 'back'}:latest")
    assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(tmp_path / "layout")


def test_tags_and_repositories_are_listed(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/lists"
    push(regctl, tmp_path, f"{name}:b", tar_of({"x": b"tags"}))
    for tag in ("a", "c", "d"):
        regctl.run("image", "copy", f"{name}:b", f"{name}:{tag}")
    assert regctl.run("tag", "ls", name).split() == ["a", "b", "c", "d"]
    assert regctl.run("tag", "ls", "--limit", "2", name).split() == ["a", "b"]
    assert regctl.run("tag", "ls", "--limit", "2", "--last", "b", name).split() == ["c", "d"]
    assert "regctl/lists" in regctl.run("repo", "ls", locked.address).split()


def test_a_deleted_tag_takes_nothing_with_it(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/untag"
    digest = push(regctl, tmp_path, f"{name}:keep", tar_of({"x": b"untag"}))
    regctl.run("image", "copy", f"{name}:keep", f"{name}:drop")
    at = images.log_position(locked)
    regctl.run("tag", "delete", f"{name}:drop")
    images.log_position(locked)
    # One DELETE of the tag; not the way round by a manifest made for deletion.
    assert not [line for line in images.requests_logged(locked, at) if line["method"] == "PUT"]
    assert regctl.run("tag", "ls", name).split() == ["keep"]
    assert regctl.run("image", "digest", f"{name}:keep").strip() == digest
    regctl.run("tag", "delete", f"{name}:drop", check=False)
    assert regctl.last_code != 0


def test_a_deleted_manifest_takes_its_tags_with_it(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/delete"
    digest = push(regctl, tmp_path, f"{name}:a", tar_of({"x": b"delete"}))
    regctl.run("image", "copy", f"{name}:a", f"{name}:b")
    regctl.run("manifest", "delete", f"{name}@{digest}")
    for reference in (f"{name}:a", f"{name}:b", f"{name}@{digest}"):
        regctl.run("manifest", "head", reference, check=False)
        assert regctl.last_code != 0
    push(regctl, tmp_path, f"{name}:a", tar_of({"x": b"delete"}), name="again")
    assert regctl.run("tag", "ls", name).split() == ["a"]


def test_artifacts_are_put_and_got(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/artifact:v1"
    (tmp_path / "a.txt").write_bytes(b"first")
    (tmp_path / "b.bin").write_bytes(content(63, 200_000))
    regctl.run("artifact", "put", "--artifact-type", "application/vnd.example.files", "--file-title", "--strip-dirs",
               "-f", tmp_path / "a.txt", "-m", "text/plain", "-f", tmp_path / "b.bin", "-m", "application/octet-stream", name)
    (tmp_path / "back").mkdir()
    regctl.run("artifact", "get", "--output", tmp_path / "back", name)
    for file in ("a.txt", "b.bin"):
        assert (tmp_path / "back" / file).read_bytes() == (tmp_path / file).read_bytes()


def test_referrers_are_listed_filtered_and_drawn_as_a_tree(locked, regctl, alice, tmp_path):
    name = f"{locked.address}/regctl/referrers"
    push(regctl, tmp_path, f"{name}:v1", tar_of({"x": b"referrers"}), architectures=("amd64", "arm64"))
    sbom = attach(regctl, f"{name}:v1", "application/vnd.example.sbom")
    signature = attach(regctl, f"{name}:v1", "application/vnd.example.signature", b"signed")
    nested = attach(regctl, f"{name}@{sbom}", "application/vnd.example.signature", b"nested")
    platform = attach(regctl, f"{name}:v1", "application/vnd.example.sbom", b"arm", "--platform", "linux/arm64")
    assert referrers(regctl, f"{name}:v1") == {sbom: "application/vnd.example.sbom",
                                               signature: "application/vnd.example.signature"}
    assert set(referrers(regctl, f"{name}:v1", "--filter-artifact-type", "application/vnd.example.sbom")) == {sbom}
    assert set(referrers(regctl, f"{name}:v1", "--filter-annotation", "kind=application/vnd.example.signature")) == {signature}
    assert set(referrers(regctl, f"{name}:v1", "--platform", "linux/arm64")) == {platform}
    tree = regctl.run("artifact", "tree", f"{name}:v1")
    assert all(digest in tree for digest in (sbom, signature, nested, platform))
    assert alice.get("/v2/regctl/referrers/tags/list").json()["tags"] == ["v1"]


def test_copy_with_referrers(locked, regctl, tmp_path):
    first, second = f"{locked.address}/regctl/signed", f"{locked.address}/regctl/copy"
    push(regctl, tmp_path, f"{first}:v1", tar_of({"x": content(64, 300_000)}))
    sbom = attach(regctl, f"{first}:v1", "application/vnd.example.sbom", content(65, 100_000))
    at = images.log_position(locked)
    regctl.run("image", "copy", "--referrers", f"{first}:v1", f"{second}:v1")
    assert images.bytes_uploaded(locked, at) == 0
    assert set(referrers(regctl, f"{second}:v1")) == {sbom}


def test_a_manifest_is_deleted_with_its_referrers_listed_no_more(locked, regctl, tmp_path):
    name = f"{locked.address}/regctl/unsigned"
    push(regctl, tmp_path, f"{name}:v1", tar_of({"x": b"unsigned"}))
    gone = attach(regctl, f"{name}:v1", "application/vnd.example.gone")
    stays = attach(regctl, f"{name}:v1", "application/vnd.example.stays", b"other")
    regctl.run("manifest", "delete", "--referrers", f"{name}@{gone}")
    assert set(referrers(regctl, f"{name}:v1")) == {stays}


def test_a_blob_is_deleted(locked, regctl):
    data = content(66, 10_000)
    name = f"{locked.address}/regctl/blob"
    digest = regctl.run("blob", "put", name, input=data).strip()
    assert digest == minato.digest_of(data)
    regctl.run("blob", "head", name, digest)
    regctl.run("blob", "delete", name, digest)
    regctl.run("blob", "head", name, digest, check=False)
    assert regctl.last_code != 0
