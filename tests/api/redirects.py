# SPDX-License-Identifier: Apache-2.0
"""Blobs are read elsewhere: GET answers 307, HEAD and everything that needs no bytes is answered by us.

Over a folder with a network in front of it, which needs no store that can presign.
"""
import base64
import hashlib
import os
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from minato import Minato
from users import login, server_with_user

DATA = os.urandom(300_000)
SECRET = "enigma"
EXPIRES_S = 1200


@pytest.fixture(scope="module")
def redirecting(tmp_path_factory):
    cdn = {"type": "nginx", "url": "http://cdn.example.test:8080/cache", "key": SECRET}
    folder = tmp_path_factory.mktemp("users")
    with server_with_user(folder, anonymous="push", redirect={"expires": "20m", "cdn": cdn}) as server:
        server.digest = server.client().push_blob("t/away", DATA)
        yield server


def blob(server, method="GET", **headers):
    return server.client().request(method, f"/v2/t/away/blobs/{server.digest}", headers=headers)


def test_get_is_sent_away_with_the_digest_and_no_body(redirecting):
    reply = blob(redirecting)
    assert (reply.status, reply.body) == (307, b"")
    assert reply.header("docker-content-digest") == redirecting.digest
    assert reply.header("content-length") == "0"
    url = urlsplit(reply.header("location"))
    hexdigits = redirecting.digest.split(":")[1]
    assert (url.scheme, url.netloc) == ("http", "cdn.example.test:8080")
    assert url.path == f"/cache/docker/registry/v2/blobs/sha256/{hexdigits[:2]}/{hexdigits}/data"


def test_url_is_signed_and_serves_for_three_quarters_of_its_time_at_least(redirecting):
    url = urlsplit(blob(redirecting).header("location"))
    asked = parse_qs(url.query)
    expires = int(asked["expires"][0])
    md5 = hashlib.md5(f"{expires}{url.path} {SECRET}".encode()).digest()
    assert asked["md5"] == [base64.urlsafe_b64encode(md5).decode().rstrip("=")]
    left = expires - time.time()
    assert EXPIRES_S * 3 / 4 - 2 <= left <= EXPIRES_S


def test_client_alone_may_keep_the_answer_while_it_stays_the_same(redirecting):
    private, max_age = blob(redirecting).header("cache-control").split(", ")
    assert private == "private"
    assert 1 <= int(max_age.removeprefix("max-age=")) <= EXPIRES_S / 4


def test_range_is_sent_away_too(redirecting):
    reply = blob(redirecting, Range="bytes=5-9")
    assert (reply.status, reply.header("content-range")) == (307, None)


def test_head_is_answered_here(redirecting):
    reply = blob(redirecting, "HEAD")
    assert (reply.status, reply.header("content-length")) == (200, str(len(DATA)))
    assert reply.header("docker-content-digest") == redirecting.digest


def test_unchanged_blob_is_answered_here(redirecting):
    assert blob(redirecting, **{"If-None-Match": f'"{redirecting.digest}"'}).status == 304


def test_empty_blob_is_answered_here(redirecting):
    digest = redirecting.client().push_blob("t/away", b"")
    assert redirecting.client().get(f"/v2/t/away/blobs/{digest}").status == 200


def test_blob_of_another_repository_has_no_url(redirecting):
    reply = redirecting.client().get(f"/v2/t/other/blobs/{redirecting.digest}")
    assert (reply.status, reply.header("location")) == (404, None)


def test_deleted_blob_has_no_url(redirecting):
    client = login(redirecting)
    digest = client.push_blob("t/away", b"soon gone")
    assert client.get(f"/v2/t/away/blobs/{digest}").status == 307
    assert client.request("DELETE", f"/v2/t/away/blobs/{digest}").status == 202
    assert client.get(f"/v2/t/away/blobs/{digest}").status == 404


def test_signature_and_secret_are_in_no_log(redirecting):
    url = urlsplit(blob(redirecting).header("location"))
    assert parse_qs(url.query)["md5"][0] not in redirecting.log_text()
    assert SECRET not in redirecting.log_text()


def test_switched_off_redirects_let_bytes_flow_through_us():
    cdn = {"type": "plain", "url": "http://cdn.example.test"}
    with Minato(config={"redirect": {"enabled": False, "cdn": cdn}}) as server:
        server.digest = server.client().push_blob("t/away", DATA)
        assert blob(server).body == DATA
        assert blob(server, Range="bytes=5-9").body == DATA[5:10]
