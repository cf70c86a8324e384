# SPDX-License-Identifier: Apache-2.0
"""Docker Registry's folder, written and read by hand; and what a registry says of it, in a form two can be compared by."""
import hashlib
import shutil
from pathlib import Path

import minato


class RegistryFolder:
    """The tree below <root>/docker/registry/v2, file by file: nothing here asks whether it makes sense."""

    def __init__(self, root):
        self.root = Path(root)
        self.v2 = self.root / "docker" / "registry" / "v2"

    def write(self, path, data):
        path = self.v2 / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    # ---- where things are

    def data(self, digest):
        algorithm, name = digest.split(":")
        return self.v2 / "blobs" / algorithm / name[:2] / name / "data"

    def repository(self, repo):
        return self.v2 / "repositories" / repo

    def layer_link(self, repo, digest):
        return self.repository(repo) / "_layers" / digest.replace(":", "/") / "link"

    def revision_link(self, repo, digest):
        return self.repository(repo) / "_manifests" / "revisions" / digest.replace(":", "/") / "link"

    def tag(self, repo, tag):
        return self.repository(repo) / "_manifests" / "tags" / tag

    def current_link(self, repo, tag):
        return self.tag(repo, tag) / "current" / "link"

    def index_link(self, repo, tag, digest):
        return self.tag(repo, tag) / "index" / digest.replace(":", "/") / "link"

    # ---- writing it by hand; `text` is what a link says instead of the digest

    def add_data(self, data, algorithm="sha256"):
        digest = minato.digest_of(data, algorithm)
        self.write(self.data(digest), data)
        return digest

    def add_layer(self, repo, data, text=None):
        digest = self.add_data(data)
        self.write(self.layer_link(repo, digest), digest if text is None else text)
        return digest

    def add_revision(self, repo, data, text=None):
        digest = self.add_data(data)
        self.write(self.revision_link(repo, digest), digest if text is None else text)
        return digest

    def add_tag(self, repo, tag, digest, text=None):
        self.write(self.index_link(repo, tag, digest), digest)
        self.write(self.current_link(repo, tag), digest if text is None else text)

    def add_image(self, repo, tag, seed=None):
        """A whole image as Docker Registry would have left it; its manifest's bytes."""
        config = b'{"architecture":"amd64","os":"linux"}'
        layer = f"layer of {seed or repo}".encode()
        self.add_layer(repo, config)
        self.add_layer(repo, layer)
        manifest = minato.image_manifest(config, [layer])
        digest = self.add_revision(repo, manifest)
        if tag:
            self.add_tag(repo, tag, digest)
        return manifest

    def remove(self, path):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def files(self):
        """Every file below docker/, by its path, with what is in it."""
        return {str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted((self.root / "docker").rglob("*")) if path.is_file()}


# ---- what a registry says

def answer(client, path, method="GET"):
    """What counts in an answer: a success with its headers and bytes, a refusal by its status and code."""
    reply = client.request(method, path)
    if reply.status == 200:
        kept = ("content-type", "docker-content-digest", "content-length")
        return (200, *(reply.header(name) for name in kept), reply.body)
    return (reply.status, reply.error_code() if reply.body else None)


def answers(client, paths):
    return {(method, path): answer(client, path, method) for path in paths for method in ("GET", "HEAD")}


def tags_of(client, repo):
    """The tags in byte order; None where the repository is not known. Docker Registry lists them in the order of its
    folder, and writes null for none."""
    reply = client.get(f"/v2/{repo}/tags/list")
    if reply.status == 404:
        assert reply.error_code() == "NAME_UNKNOWN"
        return None
    assert reply.status == 200, reply
    document = reply.json()
    assert document["name"] == repo
    return sorted(document["tags"] or [])


def catalog_of(client, query="?n=1000"):
    reply = client.get(f"/v2/_catalog{query}")
    assert reply.status == 200, reply
    return reply.json()["repositories"]
