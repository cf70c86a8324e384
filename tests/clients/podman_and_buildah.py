# SPDX-License-Identifier: Apache-2.0
"""podman and buildah on one storage of their own (vfs, chroot isolation, no network)."""
import time

import images
import pytest
from images import content


@pytest.fixture(scope="module")
def podman():
    one = images.ContainersTool("podman")
    yield one
    one.done()


@pytest.fixture(scope="module")
def buildah(podman):
    one = images.ContainersTool("buildah", share=podman)
    yield one
    one.done()


def make(buildah, name, files, architecture=None):
    """An image from scratch with these files."""
    folder = buildah.home / "files"
    container = buildah.run("from", "scratch").strip()
    for path, data in files.items():
        folder.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        buildah.run("copy", container, folder / path, f"/{path}")
    if architecture:
        buildah.run("config", "--arch", architecture, container)
    buildah.run("commit", "--rm", container, name, timeout=1200)


def push(podman, name, **kwargs):
    target = podman.home / "digest"
    podman.run("push", "--tls-verify=false", "--digestfile", target, name, **kwargs)
    return target.read_text().strip()


def test_push_remove_pull_gives_the_same_image(registry, podman, buildah):
    name = f"{registry.address}/podman/basic:v1"
    make(buildah, name, {"a.bin": content(10, 300_000)})
    identity = podman.run("image", "inspect", "-f", "{{.Id}}", name).strip()
    digest = push(podman, name)
    assert registry.client().head("/v2/podman/basic/manifests/v1").header("docker-content-digest") == digest
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name)
    assert podman.run("image", "inspect", "-f", "{{.Id}}", name).strip() == identity
    assert podman.run("image", "inspect", "-f", "{{.Digest}}", name).strip() == digest
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", f"{registry.address}/podman/basic@{digest}")


def test_second_push_sends_no_layer(registry, podman, buildah):
    name = f"{registry.address}/podman/again:v1"
    make(buildah, name, {"x.bin": content(11, 5_000_000)})
    push(podman, name)
    at = images.log_position(registry)
    begun = time.monotonic()
    push(podman, name)
    assert time.monotonic() - begun < 20
    assert images.bytes_uploaded(registry, at) < 10_000  # podman sends the small config again


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_both_forms_of_manifest(registry, podman, buildah, form):
    name = f"{registry.address}/podman/form-{form}:v1"
    make(buildah, name, {"form.txt": form.encode()})
    podman.run("push", "--tls-verify=false", "--format", form, name)
    kind = registry.client().get(f"/v2/podman/form-{form}/manifests/v1").header("content-type")
    assert ("oci" in kind) == (form == "oci")
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name)


def test_compressed_as_zstd(registry, podman, buildah):
    name = f"{registry.address}/podman/zstd:v1"
    make(buildah, name, {"zeros.bin": bytes(1_000_000)})
    podman.run("push", "--tls-verify=false", "--format", "oci", "--compression-format", "zstd", name)
    manifest = registry.client().get("/v2/podman/zstd/manifests/v1").json()
    assert manifest["layers"][0]["mediaType"].endswith("+zstd")
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name)


def test_index_of_two_platforms(registry, buildah):
    listed = "localhost/multi:both"
    buildah.run("manifest", "create", listed)
    for architecture in ("amd64", "arm64"):
        name = f"localhost/multi:{architecture}"
        make(buildah, name, {"arch.txt": architecture.encode()}, architecture)
        buildah.run("manifest", "add", listed, name)
    buildah.run("manifest", "push", "--all", "--tls-verify=false", listed,
                f"docker://{registry.address}/podman/multi:both")
    reply = registry.client().get("/v2/podman/multi/manifests/both")
    assert reply.status == 200
    found = {one["platform"]["architecture"] for one in reply.json()["manifests"]}
    assert found == {"amd64", "arm64"}
    for one in reply.json()["manifests"]:
        assert registry.client().get(f"/v2/podman/multi/manifests/{one['digest']}").status == 200
    for architecture in ("amd64", "arm64"):
        buildah.run("pull", "--tls-verify=false", "--arch", architecture, f"{registry.address}/podman/multi:both")


def test_buildah_pushes_what_podman_pulls(registry, podman, buildah):
    name = f"{registry.address}/podman/from-buildah:v1"
    make(buildah, name, {"b.bin": content(12, 200_000)})
    buildah.run("push", "--tls-verify=false", name)
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name)


def test_large_layer(registry, podman, buildah, large_file):
    name = f"{registry.address}/podman/large:v1"
    container = buildah.run("from", "scratch").strip()
    buildah.run("copy", container, large_file, "/large.tar", timeout=1200)
    buildah.run("commit", "--rm", container, name, timeout=1800)
    identity = podman.run("image", "inspect", "-f", "{{.Id}}", name).strip()
    push(podman, name, timeout=1800)
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name, timeout=1800)
    assert podman.run("image", "inspect", "-f", "{{.Id}}", name).strip() == identity
    podman.run("rmi", "-f", name)


def test_twenty_pushes_at_once(registry, podman, buildah):
    make(buildah, "localhost/parallel:0", {"p.bin": content(13, 200_000)})

    def work(i):
        podman.run("push", "--tls-verify=false", "localhost/parallel:0",
                   f"docker://{registry.address}/podman/parallel-{i % 4}:{i}")

    images.in_parallel(work, 20)
    tags = []
    for i in range(4):
        tags += registry.client().get(f"/v2/podman/parallel-{i}/tags/list").json()["tags"]
    assert sorted(map(int, tags)) == list(range(20))


def test_login_push_pull_logout(locked, podman, buildah):
    name = f"{locked.address}/private/podman:v1"
    make(buildah, name, {"secret.txt": b"for bob"})
    podman.run("push", "--tls-verify=false", name, check=False)
    assert podman.last_code != 0
    podman.run("login", "--tls-verify=false", "-u", "bob", "--password-stdin", locked.address, input=b"wrong", check=False)
    assert podman.last_code != 0
    podman.run("login", "--tls-verify=false", "-u", "bob", "--password-stdin", locked.address, input=b"builder")
    push(podman, name)
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name)
    podman.run("logout", locked.address)
    podman.run("rmi", "-f", name)
    podman.run("pull", "--tls-verify=false", name, check=False)
    assert podman.last_code != 0
