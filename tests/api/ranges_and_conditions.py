# SPDX-License-Identifier: Apache-2.0
"""GET with Range, If-Range and If-None-Match (RFC 9110, 13 and 14)."""
import os

import pytest

DATA = os.urandom(1_000_000)
SIZE = len(DATA)


@pytest.fixture(scope="module")
def digest(server):
    return server.client().push_blob("t/ranges", DATA)


@pytest.mark.parametrize("asked, first, last", [
    ("bytes=0-0", 0, 0),
    ("bytes=0-99", 0, 99),
    ("bytes=100-199", 100, 199),
    ("bytes=999999-", SIZE - 1, SIZE - 1),
    ("bytes=500000-", 500_000, SIZE - 1),
    ("bytes=0-", 0, SIZE - 1),
    ("bytes=-1", SIZE - 1, SIZE - 1),
    ("bytes=-500", SIZE - 500, SIZE - 1),
    ("bytes=-99999999", 0, SIZE - 1),
    ("bytes=10-99999999", 10, SIZE - 1),
    ("bytes=65535-65536", 65_535, 65_536),
])
def test_one_range_answers_206_with_those_bytes(client, digest, asked, first, last):
    reply = client.get(f"/v2/t/ranges/blobs/{digest}", Range=asked)
    assert reply.status == 206
    assert reply.header("content-range") == f"bytes {first}-{last}/{SIZE}"
    assert reply.header("content-length") == str(last - first + 1)
    assert reply.body == DATA[first:last + 1]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=2000000-3000000", "bytes=-0", "bytes=5-1"])
def test_range_behind_the_end_or_backwards_answers_416(client, digest, asked):
    reply = client.get(f"/v2/t/ranges/blobs/{digest}", Range=asked)
    assert (reply.status, reply.error_code()) == (416, "RANGE_INVALID")
    assert reply.header("content-range") == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=a-b", "bytes", "rows=1-2", "bytes=", "bytes=0-1,5-6", "bytes=--5"])
def test_range_that_makes_no_sense_is_ignored(client, digest, asked):
    reply = client.get(f"/v2/t/ranges/blobs/{digest}", Range=asked)
    assert (reply.status, len(reply.body)) == (200, SIZE)


def test_blob_says_that_ranges_may_be_asked(client, digest):
    assert client.head(f"/v2/t/ranges/blobs/{digest}").header("accept-ranges") == "bytes"


def test_range_on_head_is_ignored(client, digest):
    reply = client.head(f"/v2/t/ranges/blobs/{digest}", Range="bytes=0-9")
    assert (reply.status, reply.header("content-length")) == (200, str(SIZE))


def test_if_range_with_the_etag_gives_the_part(client, digest):
    etag = client.head(f"/v2/t/ranges/blobs/{digest}").header("etag")
    assert client.get(f"/v2/t/ranges/blobs/{digest}", Range="bytes=0-9", If_Range=etag).status == 206


def test_if_range_with_another_etag_gives_everything(client, digest):
    reply = client.get(f"/v2/t/ranges/blobs/{digest}", Range="bytes=0-9", If_Range='"another"')
    assert (reply.status, len(reply.body)) == (200, SIZE)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
def test_blob_the_client_has_answers_304(client, digest, form):
    etag = client.head(f"/v2/t/ranges/blobs/{digest}").header("etag")
    reply = client.get(f"/v2/t/ranges/blobs/{digest}", If_None_Match=form.format(etag))
    assert (reply.status, reply.body) == (304, b"")
    assert reply.header("etag") == etag


def test_blob_the_client_has_not_answers_200(client, digest):
    assert client.get(f"/v2/t/ranges/blobs/{digest}", If_None_Match='"another"').status == 200


def test_manifest_the_client_has_answers_304_until_the_tag_moves(client, repo):
    client.push_image(repo, "v1", [b"a"])
    etag = client.head(f"/v2/{repo}/manifests/v1").header("etag")
    for method in ("GET", "HEAD"):
        reply = client.request(method, f"/v2/{repo}/manifests/v1", headers={"If-None-Match": etag})
        assert (reply.status, reply.body) == (304, b"")
    client.push_image(repo, "v1", [b"b"])
    assert client.get(f"/v2/{repo}/manifests/v1", If_None_Match=etag).status == 200


def test_range_of_an_empty_blob_gives_the_empty_blob_or_416(client):
    digest = client.push_blob("t/ranges-empty", b"")
    reply = client.get(f"/v2/t/ranges-empty/blobs/{digest}", Range="bytes=0-0")
    assert reply.status in (200, 416)


def test_connection_is_kept_after_304_206_and_416(server, digest):
    with server.wire() as wire:
        for line, status in (("If-None-Match: *", 304), ("Range: bytes=0-9", 206), ("Range: bytes=9999999-", 416)):
            wire.head("GET", f"/v2/t/ranges/blobs/{digest}", line)
            assert wire.reply().status == status
