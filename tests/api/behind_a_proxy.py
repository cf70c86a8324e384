# SPDX-License-Identifier: Apache-2.0
"""Who the client is, behind balancers and proxies: the PROXY protocol, Forwarded and its like, and the limit of
connections that one address may have."""
import socket
import struct
import time

import pytest

import certificates

TRUSTED = {"http": {"trusted_proxies": ["127.0.0.1/32", "10.0.0.0/8"]}}
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def balanced(start, config=None, words="proxy_protocol"):
    """A server whose last listener, the one that wire() uses, expects the PROXY protocol."""
    return start(config=config or TRUSTED, arguments=["--listen", f"127.0.0.1:0 {words}"])


def v2(source="192.0.2.7", port=4711):
    body = socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack(">HH", port, 443)
    return V2 + b"\x21\x11" + struct.pack(">H", len(body)) + body


HEADERS = {"v1": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "v2": v2()}


@pytest.mark.parametrize("version", HEADERS)
def test_client_is_who_the_balancer_says(start, version):
    server = balanced(start)
    wire = server.wire().send(HEADERS[version])
    wire.head("GET", "/v2/a/b/tags/list")
    assert wire.reply().status == 404
    wire.head("GET", "/v2/")
    assert wire.reply().status == 200, "the header comes once"
    server.wait_log(r'"path":"/v2/a/b/tags/list".*"peer":"192.0.2.7:4711"')


@pytest.mark.parametrize("version", HEADERS)
def test_header_may_come_byte_by_byte(start, version):
    server = balanced(start)
    wire = server.wire()
    for at in range(len(HEADERS[version])):
        wire.send(HEADERS[version][at:at + 1])
        time.sleep(0.001)
    wire.head("GET", "/v2/")
    assert wire.reply().status == 200


def test_header_and_request_may_come_together(start):
    server = balanced(start)
    wire = server.wire().send(HEADERS["v2"] + b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.reply().status == 200


def test_header_comes_before_tls(start, tmp_path):
    certificate = certificates.self_signed(tmp_path)
    config = {"http": {**TRUSTED["http"], "tls": {"certificate": certificate.certificate, "key": certificate.key}}}
    server = balanced(start, config)
    with socket.create_connection((server.host, server.port), timeout=20) as plain:
        plain.sendall(HEADERS["v1"])
        with certificates.context(certificate).wrap_socket(plain, server_hostname="localhost") as wrapped:
            wrapped.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert wrapped.recv(100).startswith(b"HTTP/1.1 200")
    server.wait_log(r'"peer":"192.0.2.7:4711"')


def test_plain_listener_beside_a_tls_one(start, tmp_path):
    certificate = certificates.self_signed(tmp_path)
    config = {"http": {"tls": {"certificate": certificate.certificate, "key": certificate.key}}}
    server = balanced(start, config, "plain")
    assert server.client().get("/v2/").status == 200


@pytest.mark.parametrize("data", [b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 x y 1 2\r\n", b"\x16\x03\x01\x02"])
def test_without_a_header_the_connection_is_closed_in_silence(start, data):
    server = balanced(start)
    wire = server.wire().send(data)
    try:
        assert wire.socket.recv(100) == b""
    except ConnectionResetError:
        pass  # what was not read is thrown away


def test_header_of_an_untrusted_sender_is_not_believed(start):
    server = balanced(start, {"http": {"trusted_proxies": ["10.0.0.0/8"]}})
    wire = server.wire().send(HEADERS["v1"] + b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        assert wire.socket.recv(100) == b""
    except ConnectionError:
        pass


def test_slow_header_ends_the_connection(start):
    server = balanced(start, {"http": {**TRUSTED["http"], "head_timeout": "300ms", "idle_timeout": "60s"}})
    wire = server.wire().send(HEADERS["v1"][:10])
    assert wire.socket.recv(100) == b""


# ---- Forwarded ----

@pytest.mark.parametrize("lines, peer", [
    (["Forwarded: for=192.0.2.9"], "192.0.2.9"),
    (['Forwarded: for="[2001:db8::9]:4711";proto=https;host=registry.example.com'], r"\[2001:db8::9\]:4711"),
    (["Forwarded: for=203.0.113.5, for=192.0.2.9, for=10.1.1.1"], "192.0.2.9"),
    (["Forwarded: for=203.0.113.5", "Forwarded: for=192.0.2.9"], "192.0.2.9"),
    (["Forwarded: for=_hidden"], "_hidden"),
    (["Forwarded: for=192.0.2.9", "X-Forwarded-For: 203.0.113.5"], "192.0.2.9"),
    (["X-Forwarded-For: 203.0.113.5, 192.0.2.9, 10.1.1.1, 127.0.0.1"], "192.0.2.9"),
    (["X-Forwarded-For: 2001:db8::9"], "2001:db8::9"),
    (["X-Forwarded-For: 10.1.1.2, 10.1.1.1"], "10.1.1.2"),
    # Malformed, or too many: ignored as a whole.
    (['Forwarded: for="192.0.2.9'], r"127\.0\.0\.1:\d+"),
    (["Forwarded: for"], r"127\.0\.0\.1:\d+"),
    (["Forwarded: for=192.0.2.9,,for=1.1.1.1"], r"127\.0\.0\.1:\d+"),
    (["X-Forwarded-For: " + ", ".join(["192.0.2.9"] * 33)], r"127\.0\.0\.1:\d+"),
])
def test_client_is_who_trusted_proxies_say(start, lines, peer):
    server = start(config=TRUSTED)
    wire = server.wire()
    wire.head("GET", "/v2/", *lines)
    assert wire.reply().status == 200
    server.wait_log(rf'"path":"/v2/".*"peer":"{peer}"')


def test_word_of_a_stranger_does_not_count(start):
    server = start(config={"http": {"trusted_proxies": ["10.0.0.0/8"]}})
    wire = server.wire()
    wire.head("GET", "/v2/", "Forwarded: for=192.0.2.9", "X-Forwarded-For: 192.0.2.9")
    assert wire.reply().status == 200
    server.wait_log(r'"path":"/v2/".*"peer":"127\.0\.0\.1:\d+"')


def test_location_is_relative_and_so_follows_the_outside(start):
    server = start(config=TRUSTED)
    reply = server.client().request("POST", "/v2/a/b/blobs/uploads/", headers={
        "Content-Length": "0", "Forwarded": "for=192.0.2.9;proto=https;host=registry.example.com"})
    assert reply.status == 202 and reply.header("location").startswith("/v2/a/b/blobs/uploads/")


# ---- one address ----

def test_one_address_has_so_many_connections_and_no_more(start):
    server = balanced(start, {"http": {**TRUSTED["http"], "connections_per_address": 5}})

    def connect(source):
        wire = server.wire().send(v2(source))
        wire.head("GET", "/v2/")
        return wire, wire.reply()

    kept = [connect("192.0.2.1") for _ in range(5)]
    assert [reply.status for _, reply in kept] == [200] * 5
    wire, reply = connect("192.0.2.1")
    assert (reply.status, reply.error_code()) == (503, "TOOMANYREQUESTS")
    assert reply.header("retry-after")
    assert connect("192.0.2.2")[1].status == 200, "another address"
    kept[0][0].socket.close()
    wire.socket.close()
    deadline = time.monotonic() + 10
    while connect("192.0.2.1")[1].status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_far_too_many_connections_of_an_address_are_closed_unheard(start):
    server = start(config={"http": {"connections_per_address": 3}})
    kept = [server.wire() for _ in range(3)]
    for wire in kept:  # the loops accept in any order
        wire.head("GET", "/v2/")
        assert wire.reply().status == 200
    over = [server.wire() for _ in range(100)]
    time.sleep(0.5)
    closed = 0
    for wire in over:
        wire.socket.settimeout(0.02)
        try:
            closed += wire.socket.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionError:
            closed += 1
    assert closed >= 100 - 64 - 3
    kept[0].head("GET", "/v2/")
    assert kept[0].reply().status == 200


def test_trusted_proxies_are_not_limited_as_one_client_is(start):
    server = start(config={"http": {**TRUSTED["http"], "connections_per_address": 2}})
    wires = [server.wire() for _ in range(10)]
    for wire in wires:
        wire.head("GET", "/v2/")
        assert wire.reply().status == 200
