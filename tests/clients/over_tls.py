# SPDX-License-Identifier: Apache-2.0
"""The real clients against a server that speaks TLS only, each trusting its certificate where it can be told to."""
import re
import subprocess

import certificates
import images
import minato
import pytest
from images import content, tar_of


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certificates.self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secure(certificate):
    with minato.Minato(config={"http": {"tls": {"certificate": certificate.certificate, "key": certificate.key}}}) as one:
        yield one


@pytest.fixture
def authorities(certificate, tmp_path):
    """A folder as containers/image wants it."""
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.crt").write_text(certificate.certificate.read_text())
    return tmp_path / "certs"


def manifest_digest(server, certificate, repository):
    client = server.client(tls=certificates.context(certificate))
    return client.head(f"/v2/{repository}/manifests/v1").header("docker-content-digest")


def test_docker(secure, certificate):
    docker = images.Docker()
    try:
        name = f"{secure.address}/tls/docker:v1"
        docker.make(name, tar_of({"a.bin": content(60, 3_000_000)}))
        identity = docker.run("inspect", "-f", "{{.Id}}", name).strip()
        assert manifest_digest(secure, certificate, "tls/docker") is None
        assert manifest_digest_of(docker.run("push", name)) == manifest_digest(secure, certificate, "tls/docker")
        docker.run("rmi", "-f", name)
        docker.run("pull", name)
        assert docker.run("inspect", "-f", "{{.Id}}", name).strip() == identity
    finally:
        docker.done()


def manifest_digest_of(output):
    return re.search(r"digest: (sha256:[0-9a-f]{64})", output).group(1)


def test_podman_and_buildah(secure, authorities):
    podman = images.ContainersTool("podman")
    buildah = images.ContainersTool("buildah", share=podman)
    try:
        name = f"{secure.address}/tls/podman:v1"
        container = buildah.run("from", "scratch").strip()
        (buildah.home / "file").write_bytes(content(61, 3_000_000))
        buildah.run("copy", container, buildah.home / "file", "/file")
        buildah.run("commit", "--rm", container, name)
        identity = podman.run("image", "inspect", "-f", "{{.Id}}", name).strip()
        podman.run("push", "--cert-dir", authorities, name)
        podman.run("rmi", "-f", name)
        podman.run("pull", "--cert-dir", authorities, name)
        assert podman.run("image", "inspect", "-f", "{{.Id}}", name).strip() == identity
        buildah.run("push", "--cert-dir", authorities, name, f"docker://{secure.address}/tls/buildah:v1")
    finally:
        buildah.done()
        podman.done()


def test_skopeo(secure, authorities, certificate, tmp_path):
    skopeo = images.ContainersTool("skopeo")
    try:
        digest = images.oci_layout(tmp_path / "layout", {"amd64": [tar_of({"a.bin": content(62, 3_000_000)})]})
        target = f"docker://{secure.address}/tls/skopeo:v1"
        skopeo.run("copy", "--dest-cert-dir", authorities, "--preserve-digests", f"oci:{tmp_path / 'layout'}:latest", target)
        assert manifest_digest(secure, certificate, "tls/skopeo") == digest
        skopeo.run("copy", "--src-cert-dir", authorities, "--preserve-digests", target, f"oci:{tmp_path / 'back'}:latest")
        assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(tmp_path / "layout")
        untrusting = skopeo.run("inspect", target, check=False)
        assert "certificate" in untrusting
    finally:
        skopeo.done()


def test_containerd(secure, certificate, tmp_path):
    ctr = images.Containerd()
    try:
        name = f"{secure.address}/tls/ctr:v1"
        digest = images.oci_layout(tmp_path / "layout", {"amd64": [tar_of({"a.bin": content(63, 3_000_000)})]}, name)
        subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", tmp_path / "image.tar", "."], check=True)
        ctr.run("images", "import", "--no-unpack", "--all-platforms", tmp_path / "image.tar")
        # Loopback addresses mean plain HTTP to ctr, unless a hosts file says otherwise.
        hosts = tmp_path / "hosts" / secure.address
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "https://{secure.address}"\n[host."https://{secure.address}"]\n'
                                          f'  ca = "{certificate.certificate}"\n')
        ctr.run("images", "push", "--hosts-dir", tmp_path / "hosts", name)
        assert manifest_digest(secure, certificate, "tls/ctr") == digest
        ctr.run("images", "rm", "--sync", name)
        ctr.run("content", "fetch", "--hosts-dir", tmp_path / "hosts", "--all-platforms", name)
        assert digest in ctr.run("content", "ls", "-q")
    finally:
        ctr.done()


@pytest.mark.go_client("crane")
def test_crane_speaks_http2(secure, certificate, tmp_path):
    crane = images.GoTool("crane")
    try:
        crane.env["SSL_CERT_FILE"] = str(certificate.certificate)
        digest = images.oci_layout(tmp_path / "layout", {"amd64": [tar_of({"a.bin": content(64, 3_000_000)})]})
        name = f"{secure.address}/tls/crane"
        assert crane.run("push", tmp_path / "layout", f"{name}:v1").strip() == f"{name}@{digest}"
        crane.run("pull", "--format", "oci", f"{name}@{digest}", tmp_path / "back")
        assert images.layout_blobs(tmp_path / "back") == images.layout_blobs(tmp_path / "layout")
    finally:
        crane.done()
    secure.wait_log('"repository":"tls/crane".*"protocol":"HTTP/2"')
    assert not re.search('"repository":"tls/crane".*"protocol":"HTTP/1', secure.log_text())
