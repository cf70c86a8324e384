# SPDX-License-Identifier: Apache-2.0
"""Clients that stall, crawl or vanish at any step cost a bounded wait, and leave nothing behind."""
import os
import time

import pytest

import minato
from minato import MANIFEST, digest_of, wait_until, with_query

HASTE = {"http": {"head_timeout": "1s", "idle_timeout": "1s", "body_timeout": "1s", "body_min_rate": "10KiB"}}


@pytest.fixture(scope="module")
def hasty():
    with minato.Minato(config=HASTE) as server:
        yield server


@pytest.fixture(scope="module")
def counted():
    port = minato.free_port()
    with minato.Minato(config={"metrics": {"listen": f"127.0.0.1:{port}"}}) as server:
        server.metrics_port = port
        yield server


def gauges(server):
    client = minato.Client("127.0.0.1", server.metrics_port)
    values = minato.metrics(client.get("/metrics").body.decode())
    client.close()

    def total(word):
        names = [name for name in values if word in name]
        assert names, f"no metric named like {word}"
        return sum(values[name] for name in names)

    return {"requests": total("requests_running"), "pages": total("upload_buffer_used"), "open": total("connections_open")}


def check_nothing_is_left(server):
    wait_until(lambda: gauges(server)["requests"] <= 1 and gauges(server)["pages"] == 0 and gauges(server)["open"] <= 1,
               15, f"release of everything (now {gauges(server)})")


def test_silent_connection_is_closed(hasty):
    with hasty.wire() as wire:
        assert wire.is_closed(5)
        assert wire.buffer == b"" or b" 408 " in wire.buffer


def test_idle_connection_is_closed_without_an_answer(hasty):
    with hasty.wire() as wire:
        wire.head("GET", "/v2/")
        assert wire.reply().status == 200
        assert wire.is_closed(5)
        assert wire.buffer == b""


def test_head_that_stalls_answers_408(hasty):
    with hasty.wire() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: r\r\nX-Half")
        begun = time.monotonic()
        assert wire.reply().status == 408
        assert 0.5 < time.monotonic() - begun < 4
        assert wire.is_closed(5)


def test_head_that_crawls_answers_408_although_bytes_come(hasty):
    with hasty.wire() as wire:
        begun = time.monotonic()
        try:
            for byte in b"GET /v2/ HTTP/1.1\r\nHost: " + b"r" * 100:
                wire.send(bytes([byte]))
                time.sleep(0.1)
                if not wire.silent(0):
                    break
        except ConnectionError:
            pass
        assert time.monotonic() - begun < 4
        assert wire.reply().status == 408


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_body_that_stalls_answers_408_and_keeps_what_came(hasty, framing):
    client = hasty.client()
    location = client.begin_upload("t/stall")
    with hasty.wire() as wire:
        wire.head("PATCH", location, framing)
        wire.send((b"186a0\r\n" if "chunked" in framing else b"") + bytes(100_000))
        assert wire.reply().status == 408
        assert wire.is_closed(5)
    reply = wait_until(lambda: client.get(location), what="status")
    assert reply.status == 204


def test_body_that_crawls_answers_408_although_bytes_come(hasty):
    location = hasty.client().begin_upload("t/crawl")
    with hasty.wire() as wire:
        wire.head("PATCH", location, "Content-Length: 1000000")
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 8 and wire.silent(0):
                wire.send(b"x" * 10)
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() - begun < 6
        assert wire.reply().status == 408


def test_stalled_uploads_do_not_stop_others(start):
    """Few pages, many who hold bytes back: who delivers gets through (DESIGN.md, invariant 5)."""
    server = start(config={"uploads": {"buffer": "2MiB"}, "http": {"loops": 2}})
    client = server.client()
    stalled = []
    for _ in range(40):
        wire = server.wire()
        wire.head("PATCH", client.begin_upload("t/many"), "Content-Length: 50000000")
        wire.send_until_refused(100_000, stall_s=0.2)
        stalled.append(wire)
    begun = time.monotonic()
    data = os.urandom(5_000_000)
    digest = client.push_blob("t/many", data)
    assert client.get(f"/v2/t/many/blobs/{digest}").body == data
    assert time.monotonic() - begun < 20
    for wire in stalled:
        wire.reset()


def test_many_uploads_share_a_small_budget(start):
    """More uploads than pages: all end, and memory stays within the budget."""
    import threading

    server = start(config={"uploads": {"buffer": "2MiB"}, "http": {"loops": 2}})
    data = os.urandom(4_000_000)
    errors = []

    def push(i):
        try:
            server.client().push_blob(f"t/share{i}", data)
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=push, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


# ---- gone -----------------------------------------------------------------------------------------------------------------


def steps_of_a_push(server, location, data, digest):
    """name -> what the client sends before it is gone."""
    host = "HTTP/1.1\r\nHost: r\r\n"
    patch = f"PATCH {location} {host}"
    put = f"PUT {with_query(location, digest=digest)} {host}"
    manifest = f"PUT /v2/t/gone/manifests/v1 {host}Content-Type: {MANIFEST}\r\n"
    half = data[:len(data) // 2]
    return {
        "connected": b"",
        "half a request line": b"PATCH /v2/t",
        "half a head": patch.encode(),
        "a head": f"{patch}Content-Length: {len(data)}\r\n\r\n".encode(),
        "a head that expects 100": f"{patch}Content-Length: {len(data)}\r\nExpect: 100-continue\r\n\r\n".encode(),
        "half a body": f"{patch}Content-Length: {len(data)}\r\n\r\n".encode() + half,
        "all of a body": f"{patch}Content-Length: {len(data)}\r\n\r\n".encode() + data,
        "half a chunk size": f"{patch}Transfer-Encoding: chunked\r\n\r\n5".encode(),
        "half a chunk": f"{patch}Transfer-Encoding: chunked\r\n\r\n{len(data):x}\r\n".encode() + half,
        "no last chunk": f"{patch}Transfer-Encoding: chunked\r\n\r\n{len(data):x}\r\n".encode() + data + b"\r\n",
        "half of a final put": f"{put}Content-Length: {len(data)}\r\n\r\n".encode() + half,
        "all of a final put": f"{put}Content-Length: {len(data)}\r\n\r\n".encode() + data,
        "an empty final put": f"{put}Content-Length: 0\r\n\r\n".encode(),
        "half a monolithic post":
            f"POST /v2/t/gone/blobs/uploads/?digest={digest} {host}Content-Length: {len(data)}\r\n\r\n".encode() + half,
        "half a manifest": f"{manifest}Content-Length: 2000\r\n\r\n".encode() + b"{" * 1000,
        "a status request": f"GET {location} {host}\r\n".encode(),
        "a tag list": f"GET /v2/t/gone/tags/list {host}\r\n".encode(),
        "a cancel": f"DELETE {location} {host}\r\n".encode(),
        "pipelined requests": (f"GET /v2/ {host}\r\n" * 50).encode(),
    }


STEPS = list(steps_of_a_push(None, "", b"", ""))


@pytest.mark.threads
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("wait_s", [0, 0.02])
@pytest.mark.parametrize("step", STEPS)
def test_client_gone_after(counted, step, wait_s, how):
    client = counted.client()
    data = os.urandom(600_000)
    digest = digest_of(data)
    location = client.begin_upload("t/gone")
    wire = counted.wire()
    try:
        wire.send(steps_of_a_push(counted, location, data, digest)[step])
    except ConnectionError:
        pass
    time.sleep(wait_s)
    getattr(wire, how)()
    # The server is well, holds nothing, and what is visible is whole.
    client.close()
    check_nothing_is_left(counted)
    reply = client.get(f"/v2/t/gone/blobs/{digest}")
    assert reply.status == 404 or reply.body == data
    assert client.get("/v2/t/gone/manifests/v1").status == 404
    client.close()


@pytest.mark.threads
@pytest.mark.parametrize("taken", [0, 1, 100_000, 3_000_000])
def test_client_gone_during_a_download(counted, taken):
    client = counted.client()
    data = os.urandom(6_000_000)
    digest = client.push_blob("t/download", data)
    wire = counted.wire(receive_buffer=8192)
    wire.head("GET", f"/v2/t/download/blobs/{digest}")
    have = 0
    while have < taken:
        have += len(wire.socket.recv(min(65_536, taken - have)))
    wire.reset()
    client.close()
    check_nothing_is_left(counted)
    assert client.get(f"/v2/t/download/blobs/{digest}").body == data
    client.close()
