# SPDX-License-Identifier: Apache-2.0
"""deploy/cdn/nginx.conf in a real nginx: it serves what minato signed, nothing else, and asks the store once.

The store is a second nginx that serves minato's folder: what the first asks of a bucket, it answers.
"""
import http.client
import os
import re
import shutil
import time
from urllib.parse import urlsplit

import pytest
from minato import Minato, clean_environment, free_port
from nginx import Nginx, cache_configuration, temporary_paths

DATA = os.urandom(20_000_000)
SECRET = "enigma"
ORIGIN = """
events {}
http {
    %(temporary)s
    log_format short "$status $request_uri [$http_range] [$http_authorization]";
    server { listen 127.0.0.1:%(port)d; access_log %(folder)s/origin.log short; location /bucket/ { alias %(data)s/; } }
}
"""


class Scene:
    def __init__(self, folder, server, cdn):
        self.folder, self.server, self.cdn = folder, server, cdn

    def url(self, data):
        digest = self.server.client().push_blob("t/cdn", data)
        reply = self.server.client().get(f"/v2/t/cdn/blobs/{digest}")
        assert reply.status == 307
        return reply.header("location")

    def fetch(self, url, method="GET", **headers):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        connection.request(method, f"{parts.path}?{parts.query}", headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def origin_requests(self):
        path = self.folder / "origin.log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    assert shutil.which("nginx", path=clean_environment()["PATH"]), "nginx is not installed"
    folder = tmp_path_factory.mktemp("cdn")
    store, port = free_port(), free_port()
    text = cache_configuration(folder, port, SECRET, f"127.0.0.1:{store}", "bucket")
    config = {"redirect": {"cdn": {"type": "nginx", "url": f"http://127.0.0.1:{port}", "key": SECRET}}}
    with Minato(config=config) as server:
        origin = Nginx(folder, "origin", ORIGIN % {"temporary": temporary_paths(folder), "port": store,
                                                   "folder": folder, "data": server.data}, store)
        try:
            cdn = Nginx(folder, "cdn", text, port)
            try:
                yield Scene(folder, server, cdn)
            finally:
                cdn.stop()
        finally:
            origin.stop()


def test_signed_url_gives_the_bytes_and_the_store_is_asked_once(scene):
    url = scene.url(DATA)
    assert scene.fetch(url) == (200, DATA)
    asked = len(scene.origin_requests())
    assert asked == 3  # pieces of 8 MiB
    assert scene.fetch(url) == (200, DATA)
    assert scene.fetch(url, Range="bytes=9000000-9000009") == (206, DATA[9_000_000:9_000_010])
    assert len(scene.origin_requests()) == asked


def test_range_fetches_its_piece_alone(scene):
    data = os.urandom(20_000_000)
    before = len(scene.origin_requests())
    assert scene.fetch(scene.url(data), Range="bytes=10000000-10000004") == (206, data[10_000_000:10_000_005])
    assert [re.search(r"\[bytes=(\S+)\] ", line).group(1) for line in scene.origin_requests()[before:]] == \
        ["8388608-16777215"]


def test_authorization_that_a_client_kept_is_not_sent_to_the_store(scene):
    data = os.urandom(1000)
    assert scene.fetch(scene.url(data), Authorization="Bearer of-the-registry") == (200, data)
    assert scene.origin_requests()[-1].endswith("[-]")


@pytest.mark.parametrize("change, status", [
    (lambda url: url.split("?")[0], 403),
    (lambda url: re.sub(r"md5=.{22}", "md5=" + "A" * 22, url), 403),
    (lambda url: re.sub(r"expires=\d+", lambda m: f"expires={int(m.group()[8:]) + 3600}", url), 403),
    (lambda url: url.replace("/data?", "/other?"), 403),
], ids=["unsigned", "another signature", "longer", "another path"])
def test_what_minato_did_not_sign_is_refused(scene, change, status):
    assert scene.fetch(change(scene.url(os.urandom(100))))[0] == status


def test_url_that_is_too_old_is_gone(scene):
    import base64
    import hashlib

    path, then = urlsplit(scene.url(os.urandom(100))).path, int(time.time()) - 10
    md5 = base64.urlsafe_b64encode(hashlib.md5(f"{then}{path} {SECRET}".encode()).digest()).decode().rstrip("=")
    assert scene.fetch(f"http://127.0.0.1:{scene.cdn.port}{path}?md5={md5}&expires={then}")[0] == 410


def test_nothing_can_be_written_through_it(scene):
    assert scene.fetch(scene.url(os.urandom(100)), "PUT")[0] == 403
