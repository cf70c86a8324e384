# SPDX-License-Identifier: Apache-2.0
"""containerd with ctr: pushes each blob in one PUT, pulls a tag by HEAD and then by digest."""
import subprocess

import images
import minato
import pytest
from images import content, tar_of


@pytest.fixture(scope="module")
def ctr():
    one = images.Containerd()
    yield one
    one.done()


def load(ctr, tmp_path, name, platforms):
    """Imports an OCI layout under a name; the digest of its top manifest."""
    folder = tmp_path / name.rsplit("/", 1)[1].replace(":", "-")
    digest = images.oci_layout(folder, platforms, name)
    archive = folder.with_suffix(".tar")
    subprocess.run(["tar", "-C", folder, "-cf", archive, "."], check=True)
    ctr.run("images", "import", "--no-unpack", "--all-platforms", archive)
    archive.unlink()
    return digest


def push(ctr, name, *more, **kwargs):
    ctr.run("images", "push", "--plain-http", *more, name, **kwargs)


def pull(ctr, name, *more, **kwargs):
    ctr.run("content", "fetch", "--plain-http", "--all-platforms", *more, name, **kwargs)


def forget(ctr, name):
    """Removes the image and, as nothing else refers to it, its content."""
    ctr.run("images", "rm", "--sync", name)


def has(ctr, digest):
    return digest in ctr.run("content", "ls", "-q")


def test_push_remove_pull_gives_the_same_image(registry, ctr, tmp_path):
    name = f"{registry.address}/ctr/basic:v1"
    digest = load(ctr, tmp_path, name, {"amd64": [tar_of({"a.bin": content(30, 300_000)}), tar_of({"b": b"b"})]})
    push(ctr, name)
    assert registry.client().head("/v2/ctr/basic/manifests/v1").header("docker-content-digest") == digest
    forget(ctr, name)
    assert not has(ctr, digest)
    pull(ctr, name)
    assert has(ctr, digest)
    layer = minato.digest_of(tar_of({"a.bin": content(30, 300_000)}))
    assert has(ctr, layer)
    forget(ctr, name)
    pull(ctr, f"{registry.address}/ctr/basic@{digest}")
    assert has(ctr, layer)


def test_second_push_sends_no_layer(registry, ctr, tmp_path):
    name = f"{registry.address}/ctr/again:v1"
    digest = load(ctr, tmp_path, name, {"amd64": [tar_of({"x.bin": content(31, 5_000_000)})]})
    push(ctr, name)
    at = images.log_position(registry)
    push(ctr, name)
    assert images.bytes_uploaded(registry, at) == 0


def test_index_of_two_platforms(registry, ctr, tmp_path):
    name = f"{registry.address}/ctr/multi:both"
    digest = load(ctr, tmp_path, name, {architecture: [tar_of({"arch": architecture.encode()})]
                                        for architecture in ("amd64", "arm64")})
    push(ctr, name)
    reply = registry.client().get("/v2/ctr/multi/manifests/both")
    assert reply.header("docker-content-digest") == digest
    forget(ctr, name)
    pull(ctr, name)
    for one in reply.json()["manifests"]:
        assert has(ctr, one["digest"])


def test_pull_with_unpacking(registry, ctr, tmp_path):
    name = f"{registry.address}/ctr/unpack:v1"
    digest = load(ctr, tmp_path, name, {"amd64": [tar_of({"u.bin": content(32, 100_000)})]})
    push(ctr, name)
    forget(ctr, name)
    ctr.run("images", "pull", "--plain-http", "--snapshotter", "native", "--platform", "linux/amd64", name)
    assert has(ctr, digest)


def test_large_layer(registry, ctr, tmp_path, large_file):
    name = f"{registry.address}/ctr/large:v1"
    digest = load(ctr, tmp_path, name, {"amd64": [large_file.read_bytes()]})
    push(ctr, name, timeout=1800)
    forget(ctr, name)
    pull(ctr, name, timeout=1800)
    assert has(ctr, digest)
    forget(ctr, name)


def test_twenty_pushes_at_once(registry, ctr, tmp_path):
    names = [f"{registry.address}/ctr/parallel:{i}" for i in range(20)]
    shared = tar_of({"shared.bin": content(33, 500_000)})
    digests = [load(ctr, tmp_path, name, {"amd64": [shared, tar_of({"own": content(400 + i, 50_000)})]})
               for i, name in enumerate(names)]
    images.in_parallel(lambda i: push(ctr, names[i]), 20)
    for i, digest in enumerate(digests):
        assert registry.client().head(f"/v2/ctr/parallel/manifests/{i}").header("docker-content-digest") == digest


def test_user_pushes_and_pulls(locked, ctr, tmp_path):
    name = f"{locked.address}/private/ctr:v1"
    digest = load(ctr, tmp_path, name, {"amd64": [tar_of({"p": b"private"})]})
    ctr.run("images", "push", "--plain-http", name, check=False)
    assert ctr.last_code != 0
    ctr.run("images", "push", "--plain-http", "--user", "bob:wrong", name, check=False)
    assert ctr.last_code != 0
    push(ctr, name, "--user", "bob:builder")
    forget(ctr, name)
    pull(ctr, name, "--user", "bob:builder")
    assert has(ctr, digest)
