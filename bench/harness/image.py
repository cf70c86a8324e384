# SPDX-License-Identifier: Apache-2.0
"""A small image and the requests docker makes to push it."""

import hashlib
import http.client
import json
import random

from processes import BenchError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ACCEPT = ("application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
          + INDEX_TYPE + ", " + MANIFEST_TYPE)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    """Requests over one connection; `requests` counts them."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.requests = 0

    def request(self, method, path, expected, body=None, headers=None, chunked=False):
        self.requests += 1
        self.connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in expected:
            raise BenchError(f"{method} {path}: {answer.status} {text[:500]}")
        return answer

    def push_blob(self, repo, data):
        digest = digest_of(data)
        self.request("HEAD", f"/v2/{repo}/blobs/{digest}", (404,))
        location = self.request("POST", f"/v2/{repo}/blobs/uploads/", (202,)).getheader("Location")
        location = self.request("PATCH", local_path(location), (202,), iter([data]),
                                {"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"},
                                chunked=True).getheader("Location")
        separator = "&" if "?" in location else "?"
        self.request("PUT", f"{local_path(location)}{separator}digest={digest}", (201,), b"")
        self.request("HEAD", f"/v2/{repo}/blobs/{digest}", (200,))
        return digest

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
