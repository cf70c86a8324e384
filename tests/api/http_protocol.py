# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as it is spoken on the wire: framing, keeping, pipelining, and everything that must be refused."""
import os
import time

import pytest

from minato import digest_of

GET = b"GET /v2/ HTTP/1.1\r\nHost: registry\r\n"


def session(server, repo):
    client = server.client()
    location = client.begin_upload(repo)
    client.close()
    return location


# ---- connections ------------------------------------------------------------------------------------------------------


def test_connection_is_kept_over_many_requests(server):
    with server.wire() as wire:
        for i in range(100):
            wire.head("GET", "/v2/" if i % 2 else "/v2/t/none/manifests/v1")
            reply = wire.reply()
            assert reply.status == (200 if i % 2 else 404)
            assert (reply.header("connection") or "keep-alive") == "keep-alive"


def test_connection_close_is_answered_and_done(server):
    with server.wire() as wire:
        wire.head("GET", "/v2/", "Connection: close")
        reply = wire.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert wire.is_closed(2)


def test_http_1_0_is_answered_and_closed(server):
    with server.wire() as wire:
        wire.send(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert wire.reply().status == 200
        assert wire.is_closed(2)


@pytest.mark.threads
def test_pipelined_requests_are_answered_in_order(server, client):
    paths = []
    for i in range(20):
        client.push_image("t/pipe", f"v{i}", [b"pipe"])
        paths.append(f"/v2/t/pipe/manifests/v{i}")
    bodies = [client.get(path).body for path in paths]
    with server.wire() as wire:
        wire.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: r\r\n\r\n".encode() for path in paths))
        for body in bodies:
            reply = wire.reply()
            assert (reply.status, reply.body) == (200, body)


def test_request_behind_a_body_in_the_same_segment_is_answered(server, repo):
    location = session(server, repo)
    with server.wire() as wire:
        wire.send(f"PATCH {location} HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello".encode() + GET + b"\r\n")
        assert wire.reply().status == 202
        assert wire.reply().status == 200


def test_request_behind_a_chunked_body_in_the_same_segment_is_answered(server, repo):
    location = session(server, repo)
    with server.wire() as wire:
        wire.send(f"PATCH {location} HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n".encode() +
                  b"5\r\nhello\r\n0\r\n\r\n" + GET + b"\r\n")
        reply = wire.reply()
        assert (reply.status, reply.header("range")) == (202, "0-4")
        assert wire.reply().status == 200


def test_small_unwanted_body_does_not_cost_the_connection(server):
    """The body of a refused request is read over, and is never taken for the next request."""
    with server.wire() as wire:
        body = GET + b"\r\n"
        wire.head("PATCH", "/v2/t/none/blobs/uploads/00000000-0000-4000-8000-000000000000", f"Content-Length: {len(body)}")
        wire.send(body)
        assert wire.reply().status == 404
        if not wire.is_closed(0.3):
            assert wire.buffer == b""
            wire.head("GET", "/v2/t/none/tags/list")
            assert wire.reply().status == 404


def test_head_may_come_byte_by_byte(server):
    with server.wire() as wire:
        for byte in GET + b"\r\n":
            wire.send(bytes([byte]))
        assert wire.reply().status == 200


def test_chunks_may_come_byte_by_byte_with_extensions_and_trailers(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as wire:
        wire.head("PATCH", location, "Transfer-Encoding: chunked")
        for byte in b"1\r\na\r\n00000A;name=value\r\n0123456789\r\n0\r\nX-Trailer: yes\r\n\r\n":
            wire.send(bytes([byte]))
        reply = wire.reply()
        assert (reply.status, reply.header("range")) == (202, "0-10")
        wire.head("GET", "/v2/")
        assert wire.reply().status == 200


def test_empty_lines_before_a_request_are_skipped(server):
    with server.wire() as wire:
        wire.send(b"\r\n" + GET + b"\r\n")
        assert wire.reply().status == 200


def test_absolute_form_is_understood(server):
    with server.wire() as wire:
        wire.send(b"GET http://registry/v2/ HTTP/1.1\r\nHost: registry\r\n\r\n")
        assert wire.reply().status == 200


def test_header_names_are_case_insensitive(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as wire:
        wire.send(f"PATCH {location} HTTP/1.1\r\nhOsT: r\r\ncOnTeNt-LeNgTh:5\r\n\r\nhello".encode())
        assert wire.reply().status == 202


def test_answer_to_head_has_no_body(server):
    with server.wire() as wire:
        wire.head("HEAD", "/v2/t/none/manifests/v1").head("GET", "/v2/")
        assert wire.reply("HEAD").status == 404
        assert wire.reply().status == 200


# ---- Expect -----------------------------------------------------------------------------------------------------------


def test_100_continue_is_sent_when_the_body_is_wanted(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as wire:
        wire.head("PATCH", location, "Content-Length: 5", "Expect: 100-continue")
        assert wire.reply().status == 100
        wire.send(b"hello")
        assert wire.reply().status == 202


def test_100_continue_is_not_sent_when_the_request_is_refused(server):
    with server.wire() as wire:
        wire.head("PATCH", "/v2/t/none/blobs/uploads/00000000-0000-4000-8000-000000000000", "Content-Length: 5",
                  "Expect: 100-continue")
        assert wire.reply().status == 404


def test_100_continue_is_not_sent_when_the_client_does_not_wait(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as wire:
        wire.head("PATCH", location, "Content-Length: 5").send(b"hello")
        assert wire.reply().status == 202


def test_body_that_came_before_the_100_is_taken(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as wire:
        wire.head("PATCH", location, "Content-Length: 5", "Expect: 100-continue").send(b"hello")
        assert wire.reply(skip_100=True).status == 202


def test_manifest_too_large_is_refused_before_its_body(server):
    with server.wire() as wire:
        wire.head("PUT", "/v2/t/big/manifests/v1", "Content-Length: 99999999", "Expect: 100-continue",
                  "Content-Type: application/vnd.oci.image.manifest.v1+json")
        assert wire.reply().status == 413


# ---- refused ------------------------------------------------------------------------------------------------------------

SMUGGLING = {
    "length-and-chunked": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "chunked-and-length": "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two-lengths": "Content-Length: 5\r\nContent-Length: 6",
    "two-equal-lengths": "Content-Length: 5\r\nContent-Length: 5",
    "length-list": "Content-Length: 5, 5",
    "length-plus": "Content-Length: +5",
    "length-minus": "Content-Length: -5",
    "length-hex": "Content-Length: 0x5",
    "length-empty": "Content-Length: ",
    "length-text": "Content-Length: five",
    "length-inner-space": "Content-Length: 5 5",
    "length-overflow": "Content-Length: 18446744073709551621",
    "length-fraction": "Content-Length: 5.0",
    "obs-fold": "Content-Length: 5\r\nX-Folded: a\r\n b",
    "folded-chunked": "Transfer-Encoding:\r\n chunked",
    "space-before-colon": "Content-Length : 5",
    "tab-before-colon": "Transfer-Encoding\t: chunked",
    "twice-chunked": "Transfer-Encoding: chunked, chunked",
    "chunked-not-last": "Transfer-Encoding: chunked, gzip",
    "gzip-chunked": "Transfer-Encoding: gzip, chunked",
    "identity": "Transfer-Encoding: identity",
    "xchunked": "Transfer-Encoding: xchunked",
    "chunked-parameter": "Transfer-Encoding: chunked;q=1",
    "chunked-vertical-tab": "Transfer-Encoding: \x0bchunked",
    "two-codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "nul-in-value": "X-Nul: a\0b",
    "cr-in-value": "X-Cr: a\rb",
    "empty-name": ": value",
    "name-with-space": "X Y: z",
    "no-colon": "nonsense",
    "two-hosts": "Host: other",
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_ambiguous_head_answers_400_and_closes(server, lines):
    with server.wire() as wire:
        wire.send(f"PATCH /v2/t/x/blobs/uploads/u HTTP/1.1\r\nHost: r\r\n{lines}\r\n\r\n".encode("latin-1"))
        wire.send(b"0\r\n\r\n" + GET + b"\r\n")
        reply = wire.reply()
        # 501 is what RFC 9112 (6.1) has for a transfer coding that is not understood.
        assert reply.status == 400 or (reply.status == 501 and "Transfer-Encoding" in lines)
        assert wire.is_closed(5)
        assert b"HTTP/1.1 2" not in wire.buffer


BAD_CHUNKS = {
    "no-size": b"\r\nhello\r\n0\r\n\r\n",
    "not-hex": b"zz\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "no-end-of-chunk": b"5\r\nhelloX\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_bad_chunk_answers_400_and_closes(server, client, body):
    location = client.begin_upload("t/badchunk")
    with server.wire() as wire:
        wire.head("PATCH", location, "Transfer-Encoding: chunked").send(body + GET + b"\r\n")
        assert wire.reply().status == 400
        assert wire.is_closed(5)
        assert b"HTTP/1.1 2" not in wire.buffer


@pytest.mark.parametrize("line", [
    b"GET", b"GET /v2/", b"GET  /v2/ HTTP/1.1", b"GET /v2/ HTTP/1.1 more", b"GET /v2/ HTTQ/1.1", b"G\x00T /v2/ HTTP/1.1",
    b"GET /v2/ HTTP/9.9", b"GET v2 HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH",
], ids=repr)
def test_line_that_is_no_request_is_refused_and_closed(server, line):
    with server.wire() as wire:
        wire.send(line + b"\r\nHost: r\r\n\r\n")
        try:
            assert wire.reply().status in (400, 404, 505)
        except EOFError:
            pass  # what is no HTTP at all need not be answered
        assert wire.is_closed(5)


def test_request_without_host_answers_400(server):
    with server.wire() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\n\r\n")
        assert wire.reply().status == 400


def test_head_over_the_limit_answers_431_and_closes(server):
    with server.wire() as wire:
        wire.send(GET)
        try:
            for i in range(300):
                wire.send(b"X-Long-%d: " % i + b"x" * 1000 + b"\r\n")
            wire.send(b"\r\n")
        except ConnectionError:
            pass
        assert wire.reply().status in (431, 400)
        assert wire.is_closed(5)


def test_head_that_never_ends_is_cut_off(server):
    with server.wire() as wire:
        sent = wire.send(b"GET /" + b"a" * 1000).send_until_refused(20_000_000)
        assert sent < 19_000_000
        assert wire.is_closed(5)


def test_too_many_header_lines_are_refused(server):
    with server.wire() as wire:
        wire.send(GET + b"".join(b"X-%d: y\r\n" % i for i in range(500)) + b"\r\n")
        assert wire.reply().status in (400, 431)
        assert wire.is_closed(5)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "POST", "get", "BREW", "PROPFIND"])
def test_method_that_is_not_served_answers_405_with_allow(server, method):
    with server.wire() as wire:
        wire.head(method, "/v2/", "Content-Length: 0")
        reply = wire.reply()
        assert reply.status in (405, 400, 501)
        if reply.status == 405:
            assert "GET" in reply.header("allow")


@pytest.mark.parametrize("path", ["/", "/v1/", "/v2/../etc/passwd", "/v2/a/../b/tags/list", "/v2//tags/list", "/v2/A/tags/list",
                                  "/v2/a%2fb/tags/list", "/v2/a%00b/tags/list", "/v2/%zz/tags/list", "/v2/a/b",
                                  "/v2/" + "a" * 256 + "/tags/list", "/v2/-a/tags/list", "/v2/a..b/tags/list",
                                  "/v2/..%2f..%2fetc/blobs/sha256:" + "0" * 64])
def test_path_that_names_nothing_answers_404_or_400_as_json(server, path):
    with server.wire() as wire:
        wire.head("GET", path)
        reply = wire.reply()
        assert reply.status in (400, 404)
        assert reply.error_code() in ("NAME_INVALID", "NAME_UNKNOWN", "NOT_FOUND", "MANIFEST_UNKNOWN", "DIGEST_INVALID")


# ---- early answers --------------------------------------------------------------------------------------------------------


def test_answer_reaches_a_client_that_is_still_sending(server):
    """Without lingering the reset would overtake the answer (libh2o notes, 14)."""
    for _ in range(5):
        with server.wire() as wire:
            wire.head("PUT", "/v2/t/early/manifests/v1", "Content-Length: 50000000",
                      "Content-Type: application/vnd.oci.image.manifest.v1+json")
            wire.send_until_refused(3_000_000, stall_s=0.3)
            time.sleep(0.1)
            assert wire.reply().status == 413


def test_large_download_arrives_whole_over_a_slow_reader(server, client, repo):
    data = os.urandom(8_000_000)
    digest = client.push_blob(repo, data)
    with server.wire(receive_buffer=16_384) as wire:
        wire.head("GET", f"/v2/{repo}/blobs/{digest}")
        time.sleep(0.5)
        assert digest_of(wire.reply().body) == digest
