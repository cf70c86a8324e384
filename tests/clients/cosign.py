# SPDX-License-Identifier: Apache-2.0
"""cosign: signatures and attestations with a local key, as referrers (bundles) and as tags. Nothing of Sigstore's services
is used: no transparency log, no timestamps; that cosign asks for its trust root in vain is its warning."""
import json
import re

import go_tools
import images
import pytest
from images import tar_of

pytestmark = pytest.mark.go_client("cosign")
PLAIN = "--allow-http-registry"
OFFLINE = "--insecure-ignore-tlog=true"
TAGS = ("--new-bundle-format=false",)


class Cosign(images.GoTool):
    def __init__(self, address):
        super().__init__("cosign")
        self.env["COSIGN_PASSWORD"] = "secret"
        self.run("login", "-u", "alice", "--password-stdin", address, input=b"wonder land")
        self.key, self.public = self.keys("cosign")
        self.services = self.home / "no-services.json"
        self.run("signing-config", "create", "--out", self.services)

    def keys(self, name):
        self.run("generate-key-pair", "--output-key-prefix", self.home / name)
        return self.home / f"{name}.key", self.home / f"{name}.pub"

    def sign(self, image, *more):
        self.run("sign", "-y", PLAIN, "--key", self.key, "--signing-config", self.services, *more, image)

    def sign_by_tag(self, image):
        self.run("sign", "-y", PLAIN, "--key", self.key, "--use-signing-config=false", "--tlog-upload=false", *TAGS, image)

    def verify(self, image, *more, key=None, check=True):
        return self.run("verify", PLAIN, OFFLINE, "--key", key or self.public, *more, image, check=check)


@pytest.fixture(scope="module")
def cosign(locked):
    one = Cosign(locked.address)
    yield one
    one.done()


@pytest.fixture
def image(locked, alice, request):
    """repository@digest of an image of this test's own, tagged v1."""
    repo = "cosign/" + request.node.name.replace("test_", "", 1).replace("_", "-")
    alice.push_image(repo, "v1", layers=(tar_of({"name": repo.encode()}),))
    digest = alice.head(f"/v2/{repo}/manifests/v1").header("docker-content-digest")
    return f"{locked.address}/{repo}@{digest}"


def tags_of(alice, image):
    repo = image.split("/", 1)[1].split("@")[0]
    return alice.get(f"/v2/{repo}/tags/list").json()["tags"]


def tag_of(image, suffix):
    return image.split("@")[1].replace(":", "-") + suffix


def test_a_signature_is_a_referrer_and_verifies(cosign, image, alice):
    cosign.sign(image, "-a", "who=alice")
    shown = json.loads(cosign.verify(image, "-a", "who=alice"))
    assert shown[0]["critical"]["image"]["docker-manifest-digest"] == image.split("@")[1]
    assert tags_of(alice, image) == ["v1"]
    _, other = cosign.keys("other")
    cosign.verify(image, key=other, check=False)
    assert cosign.last_code != 0
    cosign.verify(image, "-a", "who=bob", check=False)
    assert cosign.last_code != 0


def test_an_unsigned_image_does_not_verify(cosign, image):
    output = cosign.verify(image, check=False)
    assert cosign.last_code != 0 and re.search("no (matching )?signatures", output), output


def test_a_signature_as_a_tag_verifies(cosign, image, alice):
    cosign.sign_by_tag(image)
    assert tags_of(alice, image) == [tag_of(image, ".sig"), "v1"]
    cosign.verify(image, *TAGS)
    cosign.verify(image)


def test_an_attestation_is_verified_and_downloaded(cosign, image, tmp_path):
    (tmp_path / "predicate.json").write_text('{"built": "here"}')
    cosign.run("attest", "-y", PLAIN, "--key", cosign.key, "--signing-config", cosign.services, "--type", "custom",
               "--predicate", tmp_path / "predicate.json", image)
    cosign.run("verify-attestation", PLAIN, OFFLINE, "--key", cosign.public, "--type", "custom", image)
    assert "dsseEnvelope" in cosign.run("download", "attestation", PLAIN, image)
    cosign.run("verify-attestation", PLAIN, OFFLINE, "--key", cosign.public, "--type", "spdxjson", image, check=False)
    assert cosign.last_code != 0


def test_an_attached_sbom_is_downloaded(cosign, image, alice, tmp_path):
    sbom = '{"spdxVersion": "SPDX-2.3", "packages": []}'
    (tmp_path / "sbom.json").write_text(sbom)
    cosign.run("attach", "sbom", PLAIN, "--sbom", tmp_path / "sbom.json", image)
    assert tags_of(alice, image) == [tag_of(image, ".sbom"), "v1"]
    assert cosign.run("download", "sbom", PLAIN, image).strip() == sbom


def test_the_tree_shows_everything(cosign, image, tmp_path):
    (tmp_path / "predicate.json").write_text("{}")
    cosign.sign(image)
    cosign.sign_by_tag(image)
    cosign.run("attest", "-y", PLAIN, "--key", cosign.key, "--signing-config", cosign.services, "--type", "custom",
               "--predicate", tmp_path / "predicate.json", image)
    tree = cosign.run("tree", PLAIN, image)
    for what in ("https://sigstore.dev/cosign/sign/v1", "https://cosign.sigstore.dev/attestation/v1", tag_of(image, ".sig")):
        assert what in tree


def test_every_image_of_an_index_is_signed(locked, cosign, alice, tmp_path):
    manifests = []
    for architecture in ("amd64", "arm64"):
        data = alice.push_image("cosign/index", architecture, layers=(architecture.encode(),))
        manifests.append({**images.minato.descriptor(data, images.minato.MANIFEST),
                          "platform": {"os": "linux", "architecture": architecture}})
    index = {"schemaVersion": 2, "mediaType": images.minato.INDEX, "manifests": manifests}
    digest = alice.put_manifest("cosign/index", "all", index).header("docker-content-digest")
    cosign.sign(f"{locked.address}/cosign/index@{digest}", "--recursive")
    for one in (digest, *(manifest["digest"] for manifest in manifests)):
        cosign.verify(f"{locked.address}/cosign/index@{one}")


def test_a_copy_takes_the_signature_along_and_mounts(locked, cosign, image):
    cosign.sign_by_tag(image)
    at = images.log_position(locked)
    target = f"{locked.address}/cosign/copied"
    cosign.run("copy", PLAIN, image, f"{target}:v1")
    assert images.bytes_uploaded(locked, at) == 0
    cosign.verify(f"{target}@{image.split('@')[1]}")


def test_oras_copies_an_image_whose_signature_is_a_tag(locked, cosign, image):
    """Alone. With --recursive oras gives up: it follows the list of referrers to the signature, whose manifest has no
    subject that would lead it back to the image (README, Limits)."""
    if go_tools.missing("oras"):
        pytest.skip(go_tools.missing("oras"))
    oras = images.GoTool("oras")
    try:
        oras.run("login", "--plain-http", "-u", "alice", "--password-stdin", locked.address, input=b"wonder land")
        cosign.sign_by_tag(image)
        oras.run("cp", "--no-tty", "--from-plain-http", "--to-plain-http", image,
                 f"{locked.address}/cosign/oras:v1")
    finally:
        oras.done()


def test_clean_takes_all_signatures_away(cosign, image, alice):
    cosign.sign(image)
    cosign.sign_by_tag(image)
    cosign.run("clean", PLAIN, "--force", "--type", "all", image)
    assert tags_of(alice, image) == ["v1"]
    cosign.verify(image, check=False)
    assert cosign.last_code != 0
