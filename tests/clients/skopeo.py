# SPDX-License-Identifier: Apache-2.0
"""skopeo: copies between OCI layouts and the registry, also within the registry."""
import json

import images
import minato
import pytest
from images import content, tar_of


@pytest.fixture(scope="module")
def skopeo():
    one = images.ContainersTool("skopeo")
    yield one
    one.done()


def copy(skopeo, source, target, *more, **kwargs):
    return skopeo.run("copy", "--src-tls-verify=false", "--dest-tls-verify=false", *more, source, target, **kwargs)


def layout(tmp_path, *layers, name="layout"):
    digest = images.oci_layout(tmp_path / name, {"amd64": layers})
    return f"oci:{tmp_path / name}:latest", digest


def blobs(folder):
    return {path.name: path.stat().st_size for path in (folder / "blobs" / "sha256").iterdir()}


def test_copy_there_and_back_keeps_every_byte(registry, skopeo, tmp_path):
    source, digest = layout(tmp_path, tar_of({"a.bin": content(20, 300_000)}), tar_of({"b.txt": b"second"}))
    target = f"docker://{registry.address}/skopeo/basic:v1"
    copy(skopeo, source, target, "--preserve-digests")
    reply = registry.client().head("/v2/skopeo/basic/manifests/v1")
    assert reply.header("docker-content-digest") == digest
    copy(skopeo, target, f"oci:{tmp_path / 'back'}:latest", "--preserve-digests")
    assert set(blobs(tmp_path / "layout")) == set(blobs(tmp_path / "back"))
    for name in blobs(tmp_path / "back"):
        assert minato.digest_of((tmp_path / "back" / "blobs" / "sha256" / name).read_bytes()) == f"sha256:{name}"


def test_inspect_and_list_tags(registry, skopeo, tmp_path):
    source, digest = layout(tmp_path, tar_of({"a": b"inspect"}))
    for tag in ("v1", "v2"):
        copy(skopeo, source, f"docker://{registry.address}/skopeo/inspect:{tag}", "--preserve-digests")
    shown = json.loads(skopeo.run("inspect", "--tls-verify=false", f"docker://{registry.address}/skopeo/inspect:v1"))
    assert shown["Digest"] == digest
    assert shown["RepoTags"] == ["v1", "v2"]
    listed = json.loads(skopeo.run("list-tags", "--tls-verify=false", f"docker://{registry.address}/skopeo/inspect"))
    assert listed["Tags"] == ["v1", "v2"]


def test_second_copy_sends_no_layer(registry, skopeo, tmp_path):
    source, _ = layout(tmp_path, tar_of({"x.bin": content(21, 5_000_000)}))
    target = f"docker://{registry.address}/skopeo/again:v1"
    copy(skopeo, source, target)
    at = images.log_position(registry)
    copy(skopeo, source, target)
    assert images.bytes_uploaded(registry, at) < 10_000


def test_index_with_all_its_images(registry, skopeo, tmp_path):
    digest = images.oci_layout(tmp_path / "multi", {
        architecture: [tar_of({"arch.txt": architecture.encode()})] for architecture in ("amd64", "arm64", "s390x")})
    target = f"docker://{registry.address}/skopeo/multi:all"
    copy(skopeo, f"oci:{tmp_path / 'multi'}:latest", target, "--all", "--preserve-digests")
    reply = registry.client().get("/v2/skopeo/multi/manifests/all")
    assert reply.header("docker-content-digest") == digest
    assert reply.header("content-type") == minato.INDEX
    copy(skopeo, target, f"oci:{tmp_path / 'back'}:latest", "--all", "--preserve-digests")
    assert set(blobs(tmp_path / "multi")) == set(blobs(tmp_path / "back"))


def test_copy_within_the_registry(registry, skopeo, tmp_path):
    source, digest = layout(tmp_path, tar_of({"x.bin": content(22, 500_000)}))
    first = f"docker://{registry.address}/skopeo/first:v1"
    second = f"docker://{registry.address}/skopeo/second:v1"
    copy(skopeo, source, first, "--preserve-digests")
    copy(skopeo, first, second, "--preserve-digests")
    assert registry.client().head("/v2/skopeo/second/manifests/v1").header("docker-content-digest") == digest
    copy(skopeo, second, f"oci:{tmp_path / 'back'}:latest")


def test_large_layer(registry, skopeo, tmp_path, large_file):
    """Pulled whole into a folder; the layer's bytes are compared by the digest in its manifest."""
    layer = large_file.read_bytes()
    digest = images.oci_layout(tmp_path / "large", {"amd64": [layer]})
    del layer
    target = f"docker://{registry.address}/skopeo/large:v1"
    copy(skopeo, f"oci:{tmp_path / 'large'}:latest", target, "--preserve-digests", timeout=1800)
    assert registry.client().head("/v2/skopeo/large/manifests/v1").header("docker-content-digest") == digest
    copy(skopeo, target, f"dir:{tmp_path / 'back'}", timeout=1800)
    assert max(path.stat().st_size for path in (tmp_path / "back").iterdir()) >= images.LARGE


def test_twenty_copies_at_once(registry, skopeo, tmp_path):
    shared = tar_of({"shared.bin": content(23, 1_000_000)})
    digests = [images.oci_layout(tmp_path / f"p{i}", {"amd64": [shared, tar_of({"own": content(300 + i, 50_000)})]})
               for i in range(20)]

    def work(i):
        copy(skopeo, f"oci:{tmp_path / f'p{i}'}:latest", f"docker://{registry.address}/skopeo/parallel:{i}",
             "--preserve-digests")

    images.in_parallel(work, 20)
    for i, digest in enumerate(digests):
        reply = registry.client().head(f"/v2/skopeo/parallel/manifests/{i}")
        assert reply.header("docker-content-digest") == digest


def test_login_copy_logout(locked, skopeo, tmp_path):
    source, _ = layout(tmp_path, tar_of({"a": b"private"}))
    target = f"docker://{locked.address}/private/skopeo:v1"
    copy(skopeo, source, target, check=False)
    assert skopeo.last_code != 0
    skopeo.run("login", "--tls-verify=false", "-u", "alice", "--password-stdin", locked.address, input=b"wonder land")
    copy(skopeo, source, target)
    copy(skopeo, target, f"oci:{tmp_path / 'back'}:latest")
    skopeo.run("logout", locked.address)
    copy(skopeo, target, f"oci:{tmp_path / 'back2'}:latest", check=False)
    assert skopeo.last_code != 0
