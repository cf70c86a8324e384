# SPDX-License-Identifier: Apache-2.0
"""A small image and the requests docker makes to push it."""

import hashlib
import http.client
import json
import random
import urllib.parse

from processes import BenchError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ACCEPT = ("application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
          + INDEX_TYPE + ", " + MANIFEST_TYPE)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    """Requests over one connection; `requests` counts them."""

    AGENT = "minato-bench"

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.requests = 0

    def request(self, method, path, expected, body=None, headers=None, chunked=False):
        self.requests += 1
        self.connection.request(method, path, body, {"User-Agent": self.AGENT, **(headers or {})},
                                encode_chunked=chunked)
        answer = self.connection.getresponse()
        answer.text = answer.read()
        if answer.status not in expected:
            raise BenchError(f"{method} {path}: {answer.status} {answer.text[:500]}")
        return answer

    def push_blob(self, repo, data):
        digest = digest_of(data)
        if self.has_blob(repo, digest):
            return digest
        location = self.request("POST", f"/v2/{repo}/blobs/uploads/", (202,)).getheader("Location")
        location = self.request("PATCH", local_path(location), (202,), iter([data]),
                                {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"},
                                chunked=True).getheader("Location")
        separator = "&" if "?" in location else "?"
        self.request("PUT", f"{local_path(location)}{separator}digest={digest}", (201,), b"")
        if not self.has_blob(repo, digest):
            raise BenchError(f"{digest} is not there after its push")
        return digest

    def has_blob(self, repo, digest):
        answer = self.request("HEAD", f"/v2/{repo}/blobs/{digest}", (200, 307, 404))
        if answer.status == 307:
            at_store("HEAD", answer.getheader("Location"))
        return answer.status != 404

    def close(self):
        self.connection.close()


def local_path(location):
    return "/" + location.split("/", 3)[3] if "://" in location else location


def push_image(port, repo, tag, layers=7, layer_bytes=4096, seed=1):
    """Pushes as docker does; returns (requests, manifest bytes)."""
    numbers = random.Random(seed)
    client = Client(port)
    entries = []
    for _ in range(layers):
        data = numbers.randbytes(layer_bytes)
        entries.append({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(data),
                        "digest": client.push_blob(repo, data)})
    config = json.dumps({"architecture": "amd64", "os": "linux", "seed": seed,
                         "rootfs": {"type": "layers", "diff_ids": [e["digest"] for e in entries]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
                   "digest": client.push_blob(repo, config)},
        "layers": entries}, indent=3).encode()
    client.request("PUT", f"/v2/{repo}/manifests/{tag}", (201,), manifest, {"Content-Type": MANIFEST_TYPE})
    client.close()
    return client.requests, len(manifest)


def pull_image(port, repo, tag):
    """Pulls as docker does: the manifest by its tag, then each blob, from the store if it is sent there."""
    client = Client(port)
    manifest = json.loads(client.request("GET", f"/v2/{repo}/manifests/{tag}", (200,), headers={"Accept": ACCEPT}).text)
    for entry in [manifest["config"], *manifest["layers"]]:
        answer = client.request("GET", f"/v2/{repo}/blobs/{entry['digest']}", (200, 307))
        data = answer.text if answer.status == 200 else at_store("GET", answer.getheader("Location"))
        if digest_of(data) != entry["digest"]:
            raise BenchError(f"{entry['digest']}: other bytes")
    client.close()


def at_store(method, url):
    """What the store answers to whoever is sent there."""
    parts = urllib.parse.urlsplit(url)
    client = Client(parts.port)
    data = client.request(method, f"{parts.path}?{parts.query}", (200,)).text
    client.close()
    return data
