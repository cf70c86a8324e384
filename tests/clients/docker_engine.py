# SPDX-License-Identifier: Apache-2.0
"""The real docker: dockerd with the classic graph driver, and its command line."""
import re
import shutil
import time

import images
import pytest
from images import content, tar_of


@pytest.fixture(scope="module")
def docker():
    one = images.Docker()
    yield one
    one.done()


def push(docker, name):
    """Pushes; the digest that docker reports."""
    output = docker.run("push", name)
    return re.search(r"digest: (sha256:[0-9a-f]{64})", output).group(1)


def remove(docker, *names):
    docker.run("rmi", "-f", *names)


def file_of(docker, name, path):
    """A file out of an image, without running it."""
    container = docker.run("create", name, "none").strip()
    try:
        import io
        import subprocess
        import tarfile

        import minato

        data = subprocess.run([docker.program, *docker.common, "cp", f"{container}:{path}", "-"], check=True,
                              capture_output=True, env=minato.clean_environment(**docker.env)).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return archive.extractfile(archive.getmembers()[0]).read()
    finally:
        docker.run("rm", "-f", container)


def test_push_remove_pull_gives_the_same_image(registry, docker):
    name = f"{registry.address}/docker/basic:v1"
    docker.make(name, tar_of({"a.txt": b"first"}), tar_of({"b.bin": content(1, 300_000)}))
    identity = docker.run("inspect", "-f", "{{.Id}}", name).strip()
    digest = push(docker, name)
    reply = registry.client().head("/v2/docker/basic/manifests/v1")
    assert reply.header("docker-content-digest") == digest
    remove(docker, name)
    output = docker.run("pull", name)
    assert digest in output
    assert docker.run("inspect", "-f", "{{.Id}}", name).strip() == identity
    assert file_of(docker, name, "/b.bin") == content(1, 300_000)
    remove(docker, name)
    docker.run("pull", f"{registry.address}/docker/basic@{digest}")


def test_second_push_sends_no_layer(registry, docker):
    name = f"{registry.address}/docker/again:v1"
    docker.make(name, tar_of({"x.bin": content(2, 5_000_000)}))
    first = push(docker, name)
    at = images.log_position(registry)
    begun = time.monotonic()
    assert push(docker, name) == first
    assert time.monotonic() - begun < 10
    assert images.bytes_uploaded(registry, at) == 0
    # The server knows the layer also when docker has forgotten that it does.
    docker.run("tag", name, f"{registry.address}/docker/again:v2")
    assert push(docker, f"{registry.address}/docker/again:v2") == first


def test_layer_shared_by_two_repositories_is_pushed_to_both(registry, docker):
    layer = tar_of({"shared.bin": content(3, 1_000_000)})
    names = [f"{registry.address}/docker/shared-{i}:v1" for i in (0, 1)]
    for i, name in enumerate(names):
        docker.make(name, layer, tar_of({"own.txt": b"%d" % i}))
        push(docker, name)
    remove(docker, *names)
    for i, name in enumerate(names):
        docker.run("pull", name)
        assert file_of(docker, name, "/own.txt") == b"%d" % i


def test_large_layer(registry, docker, large_file):
    name = f"{registry.address}/docker/large:v1"
    docker.run("import", large_file, name, timeout=1200)
    identity = docker.run("inspect", "-f", "{{.Id}}", name).strip()
    docker.run("push", name, timeout=1800)
    remove(docker, name)
    docker.run("pull", name, timeout=1800)
    assert docker.run("inspect", "-f", "{{.Id}}", name).strip() == identity
    remove(docker, name)


def test_image_of_many_layers(registry, docker):
    name = f"{registry.address}/docker/many:v1"
    docker.make(name, *[tar_of({f"{i}.bin": content(100 + i, 20_000)}) for i in range(12)])
    digest = push(docker, name)
    remove(docker, name)
    assert digest in docker.run("pull", name)


def test_manifest_list_of_two_images(registry, docker):
    names = [f"{registry.address}/docker/multi:{architecture}" for architecture in ("amd64", "arm64")]
    for i, name in enumerate(names):
        docker.make(name, tar_of({"arch.txt": b"%d" % i}))
        push(docker, name)
    both = f"{registry.address}/docker/multi:both"
    docker.env["DOCKER_CLI_EXPERIMENTAL"] = "enabled"
    docker.run("manifest", "create", "--insecure", both, *names)
    docker.run("manifest", "annotate", "--arch", "arm64", both, names[1])
    digest = docker.run("manifest", "push", "--insecure", both).strip().splitlines()[-1]
    reply = registry.client().get("/v2/docker/multi/manifests/both")
    assert reply.header("docker-content-digest") == digest
    assert reply.header("content-type").endswith("manifest.list.v2+json")
    assert len(reply.json()["manifests"]) == 2
    remove(docker, *names)
    docker.run("pull", both)


def test_twenty_pushes_and_pulls_at_once(registry, docker):
    """Ten images of their own, and ten names of one image: all begin with the same bytes."""
    names = [f"{registry.address}/docker/parallel:{i}" for i in range(20)]
    for i, name in enumerate(names[:11]):
        docker.run("import", "-", name, input=tar_of({"own.bin": content(200 + i, 300_000)}))
    for name in names[11:]:
        docker.run("tag", names[10], name)
    digests = {}

    def work(i):
        digests[i] = push(docker, names[i])

    images.in_parallel(work, 20)
    assert registry.client().get("/v2/docker/parallel/tags/list").json()["tags"] == sorted(str(i) for i in range(20))
    remove(docker, *names)

    def fetch(i):
        assert digests[i] in docker.run("pull", names[i])

    images.in_parallel(fetch, 20)


def test_missing_image_is_said_clearly(registry, docker):
    output = docker.run("pull", f"{registry.address}/docker/none:v1", check=False)
    assert docker.last_code != 0
    assert "not found" in output or "manifest unknown" in output or "does not exist" in output


def test_login_push_pull_logout(locked, docker):
    name = f"{locked.address}/private/image:v1"
    docker.make(name, tar_of({"secret.txt": b"for alice"}))
    output = docker.run("push", name, check=False)
    assert docker.last_code != 0
    assert "no basic auth credentials" in output or "unauthorized" in output
    docker.run("login", "-u", "alice", "--password-stdin", locked.address, input=b"wrong", check=False)
    assert docker.last_code != 0
    docker.run("login", "-u", "alice", "--password-stdin", locked.address, input=b"wonder land")
    push(docker, name)
    remove(docker, name)
    docker.run("pull", name)
    assert file_of(docker, name, "/secret.txt") == b"for alice"
    docker.run("logout", locked.address)
    remove(docker, name)
    docker.run("pull", name, check=False)
    assert docker.last_code != 0
    shutil.rmtree(docker.env["DOCKER_CONFIG"], ignore_errors=True)
