# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame: windows, early answers, resets, and clients that flood. What the registry does over it is
tested by the other files, which run over both protocols."""
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
import urllib.request

import pytest

import certificates
from http2_client import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR,
                          GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, RST_STREAM,
                          SETTINGS, SETTINGS_TIMEOUT, WINDOW_UPDATE, ACK, Frames)
from minato import digest_of, wait_until, with_query


def frames(server, **kwargs):
    return Frames(server.host, server.port, **kwargs)


def upload(connection, stream, location, data, end=True):
    """A PATCH; sends what the windows allow, in frames of at most 16 KiB."""
    connection.request(stream, "PATCH", location, ("content-length", str(len(data))), end=False)
    sent = 0
    while sent < len(data):
        room = min(connection.window.get(stream, 0), 16384, len(data) - sent)
        if room == 0:
            connection.read()
            continue
        connection.window[stream] -= room
        connection.data(stream, data[sent:sent + room], end and sent + room == len(data))
        sent += room


def test_requests_on_many_streams_are_all_answered(server):
    connection = frames(server)
    for stream in range(1, 201, 2):
        connection.request(stream, "GET", "/v2/")
    for stream in range(1, 201, 2):
        assert connection.status(stream) == 200 and connection.bodies[stream] == b"{}"


def test_head_split_over_frames_and_bytes_is_one_request(server):
    connection = frames(server)
    block = connection.block("GET", "/v2/", ("x-padding", "a" * 300))
    third = len(block) // 3
    data = connection.make(HEADERS, END_STREAM, 1, block[:third])
    data += connection.make(CONTINUATION, 0, 1, block[third:2 * third])
    data += connection.make(CONTINUATION, END_HEADERS, 1, block[2 * third:])
    for at in range(len(data)):
        connection.send(data[at:at + 1])
    assert connection.status(1) == 200


def test_preface_may_come_byte_by_byte(server):
    connection = frames(server, settle=False)
    for at in range(len(PREFACE)):
        connection.send(PREFACE[at:at + 1])
        time.sleep(0.001)
    connection.frame(SETTINGS).request(1, "GET", "/v2/")
    assert connection.status(1) == 200


def test_nothing_of_a_body_is_asked_for_before_it_is_wanted(start, tmp_path):
    users = tmp_path / "users"
    users.write_text(subprocess.run(["htpasswd", "-nbB", "-C", "5", "alice", "wonder"], check=True, capture_output=True,
                                    text=True).stdout)
    server = start(config={"auth": {"htpasswd": {"file": users}}})
    connection = frames(server)
    connection.request(1, "PATCH", "/v2/t/a/blobs/uploads/x", ("content-length", "300000000"), end=False)
    assert connection.status(1) == 401
    connection.until(lambda f: f[0] == RST_STREAM and f[2] == 1)
    assert connection.resets[1] == NO_ERROR
    assert connection.window.get(1, 0) == 0, "no window was ever given"
    connection.request(3, "GET", "/healthz")
    assert connection.status(3) == 200, "the connection goes on"


@pytest.mark.parametrize("size", [0, 1, 16384, 262144, 262145, 5_000_000])
def test_body_within_windows_arrives(server, size):
    data = os.urandom(size)
    connection = frames(server)
    location = server.client(protocol="http/1.1").begin_upload("h2/windows")
    upload(connection, 1, location, data)
    if size == 0:
        connection.data(1, b"", end=True)
    assert connection.status(1) == 202
    final = with_query(dict(connection.replies[1])["location"], digest=digest_of(data))
    connection.request(3, "PUT", final)
    assert connection.status(3) == 201
    assert server.client().get(f"/v2/h2/windows/blobs/{digest_of(data)}").body == data


def test_padded_data_and_trailers_are_understood(server):
    data = os.urandom(1000)
    connection = frames(server)
    location = server.client(protocol="http/1.1").begin_upload("h2/padded")
    connection.request(1, "PUT", with_query(location, digest=digest_of(data)), end=False)
    connection.until(lambda f: f[0] == WINDOW_UPDATE and f[2] == 1)
    for at in range(0, 1000, 100):
        connection.frame(DATA, PADDED, 1, bytes([200]) + data[at:at + 100] + bytes(200))
    connection.frame(HEADERS, END_HEADERS | END_STREAM, 1, connection.encoder.encode([("x-checksum", "1")]))
    assert connection.status(1) == 201


@pytest.mark.parametrize("announced", [999, 1001])
def test_body_of_another_length_than_announced_is_refused(server, announced):
    data = os.urandom(1000)
    connection = frames(server)
    location = server.client(protocol="http/1.1").begin_upload("h2/length")
    connection.request(1, "PUT", with_query(location, digest=digest_of(data)), ("content-length", str(announced)),
                       end=False)
    connection.until(lambda f: f[0] == WINDOW_UPDATE and f[2] == 1)
    connection.data(1, data, end=True)
    connection.until(lambda f: f[0] == RST_STREAM and f[2] == 1)
    assert server.client().head(f"/v2/h2/length/blobs/{digest_of(data)}").status == 404


def test_reset_in_the_middle_of_an_upload_leaves_it_to_be_resumed(server):
    data = os.urandom(2_000_000)
    client = server.client(protocol="http/1.1")
    location = client.begin_upload("h2/reset")
    connection = frames(server)
    upload(connection, 1, location, data[:1_000_000] + b"", end=False)
    connection.frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))
    connection.request(3, "GET", "/v2/")
    assert connection.status(3) == 200

    def go_on():
        """The server may still be putting the cut request in order."""
        status = client.get(location)
        offset = int(status.header("range").split("-")[1]) + 1
        assert offset <= 1_000_000
        reply = client.request("PATCH", status.header("location"), body=data[offset:],
                               headers={"Content-Range": f"{offset}-{len(data) - 1}"})
        return reply if offset > 1 and reply.status == 202 else None

    reply = wait_until(go_on)
    reply = client.request("PUT", with_query(reply.header("location"), digest=digest_of(data)),
                           headers={"Content-Length": "0"})
    assert reply.status == 201


def test_large_blob_goes_through_a_small_window_in_steps(server):
    data = os.urandom(400_000)
    server.client().push_blob("h2/steps", data)
    connection = frames(server)
    connection.request(1, "GET", f"/v2/h2/steps/blobs/{digest_of(data)}")
    received = 65535
    while received < len(data):
        while len(connection.bodies.get(1, b"")) < min(received, len(data)):
            connection.read()
        connection.frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 10_000))
        connection.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 10_000))
        received += 10_000
    assert connection.status(1) == 200
    assert connection.bodies[1] == data


def test_client_that_takes_nothing_is_reset_and_others_go_on(start):
    server = start(config={"http": {"body_timeout": "500ms"}})
    data = os.urandom(400_000)
    server.client().push_blob("h2/stuck", data)
    connection = frames(server)
    connection.request(1, "GET", f"/v2/h2/stuck/blobs/{digest_of(data)}")
    connection.until(lambda f: f[0] == RST_STREAM and f[2] == 1)
    connection.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100_000))
    connection.request(3, "GET", "/v2/")
    assert connection.status(3) == 200


def test_silent_body_answers_408(start):
    server = start(config={"http": {"body_timeout": "500ms"}})
    location = server.client(protocol="http/1.1").begin_upload("h2/silent")
    connection = frames(server)
    connection.request(1, "PATCH", location, end=False)
    assert connection.status(1) == 408
    connection.request(3, "GET", "/v2/")
    assert connection.status(3) == 200


def metric(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as reply:
        return float(re.search(rf"^minato_{name}(?:{{[^}}]*}})? (\S+)$", reply.read().decode(), re.MULTILINE).group(1))


def test_slow_uploads_on_one_connection_stay_inside_the_budget_and_end(start):
    server = start(config={"uploads": {"buffer": "4MiB"}, "http": {"loops": 1}})
    client = server.client(protocol="http/1.1")
    locations = [client.begin_upload("h2/slow") for _ in range(24)]
    parts = [os.urandom(600_000) for _ in locations]
    connection = frames(server)
    sent = [0] * 24
    for i, location in enumerate(locations):
        connection.request(2 * i + 1, "PATCH", location, ("content-length", "600000"), end=False)
    while min(sent) < 600_000:
        progress = False
        for i in range(24):
            stream = 2 * i + 1
            n = min(connection.window.get(stream, 0), 4096, 600_000 - sent[i])
            if n > 0:
                connection.window[stream] -= n
                connection.data(stream, parts[i][sent[i]:sent[i] + n], sent[i] + n == 600_000)
                sent[i] += n
                progress = True
        outstanding = sum(connection.window.get(2 * i + 1, 0) for i in range(24) if sent[i] < 600_000)
        assert outstanding <= 4 << 20, "more window than the budget has room"
        if not progress:
            connection.read()
    for i in range(24):
        assert connection.status(2 * i + 1) == 202


def test_a_body_that_ends_while_it_waits_for_a_page_has_ended_once(start):
    server = start(config={"uploads": {"buffer": "1MiB"}, "http": {"loops": 1}})
    client = server.client(protocol="http/1.1")
    locations = [client.begin_upload("h2/pages") for _ in range(3)]
    connection = frames(server)
    for i, location in enumerate(locations):  # the first takes two of the four pages there are, as it may send on
        connection.request(2 * i + 1, "PATCH", location, end=False)
        connection.until(lambda frame, i=i: frame[0] == WINDOW_UPDATE and frame[2] == 2 * i + 1)
    for stream in (101, 103, 105):
        connection.request(stream, "PUT", f"/v2/h2/pages/manifests/{stream}", end=False)
    connection.request(107, "GET", "/v2/")
    assert connection.status(107) == 200  # those before it are waiting now
    for stream in (101, 103, 105):
        connection.data(stream, b"", end=True)
    assert [connection.status(stream) for stream in (101, 103, 105)] == [400] * 3
    for i in range(3):
        connection.data(2 * i + 1, b"bytes", end=True)
    assert [connection.status(2 * i + 1) for i in range(3)] == [202] * 3
    connection.request(109, "GET", "/v2/")
    assert connection.status(109) == 200


def test_more_streams_than_were_announced_end_the_connection(start):
    server = start()
    location = server.client(protocol="http/1.1").begin_upload("h2/many")
    connection = frames(server)
    for stream in range(1, 203, 2):
        connection.request(stream, "PATCH", location, end=False)
    assert connection.end() == PROTOCOL_ERROR
    assert connection.goaway[0] == 199, "what was handed out is named"


def test_head_that_is_too_large_answers_431(server):
    connection = frames(server)
    block = connection.block("GET", "/v2/", *((f"x-{i}", "a" * 500) for i in range(90)))
    connection.frame(HEADERS, END_STREAM, 1, block[:16000])
    for at in range(16000, len(block), 16000):
        connection.frame(CONTINUATION, END_HEADERS if at + 16000 >= len(block) else 0, 1, block[at:at + 16000])
    assert connection.status(1) == 431
    assert json.loads(connection.bodies[1])["errors"][0]["code"] == "UNSUPPORTED"
    connection.request(3, "GET", "/v2/", *((f"x-{i}", "a") for i in range(101)))
    assert connection.status(3) == 431


@pytest.mark.parametrize("fields, status", [
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a b")], None),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a"), ("host", "b")], 400),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("host", "b")], 200),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/\u00e9"), (":authority", "a")], None),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/" + "a" * 9000), (":authority", "a")], 414),
    ([(":method", "CONNECT"), (":authority", "a:1")], 405),
    ([(":method", "PUT"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a"), ("expect", "tea")], 417),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a"), ("connection", "close")], None),
    ([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a"), ("X-Upper", "a")], None),
    ([(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a")], None),
    ([(":method", "GET"), (":scheme", "http"), (":authority", "a")], None),
])
def test_odd_heads_are_refused_alone(server, fields, status):
    """None: malformed, the stream is reset (RFC 9113, section 8.1.1)."""
    connection = frames(server)
    connection.frame(HEADERS, END_HEADERS | END_STREAM, 1, connection.encoder.encode(fields))
    if status is None:
        connection.until(lambda f: f[2] == 1 and (f[0] == RST_STREAM or f[0] == HEADERS))
        assert 1 in connection.resets or int(dict(connection.replies[1])[":status"]) == 400
    else:
        assert connection.status(1) == status
    connection.request(3, "GET", "/v2/")
    assert connection.status(3) == 200


def test_expectation_is_answered_when_the_body_is_wanted(server):
    location = server.client(protocol="http/1.1").begin_upload("h2/expect")
    connection = frames(server)
    connection.request(1, "PATCH", location, ("expect", "100-continue"), ("content-length", "3"), end=False)
    connection.until(lambda f: f[0] == HEADERS and f[2] == 1)
    assert dict(connection.replies[1])[":status"] == "100"
    connection.data(1, b"abc", end=True)
    assert connection.status(1) == 202


# ---- those who flood ----

def flood_resets(connection):
    for stream in range(1, 601, 2):
        connection.request(stream, "GET", "/v2/").frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def flood_provoked_resets(connection):
    for stream in range(1, 601, 2):  # a field in upper case is a stream error (RFC 9113, section 8.2.1)
        connection.request(stream, "GET", "/v2/", ("X-Upper", "a"))
        if connection.until(lambda f: f[0] in (RST_STREAM, GOAWAY))[0] == GOAWAY:
            return


def flood_pings(connection):
    for _ in range(3000):
        connection.frame(PING, 0, 0, b"12345678")


def flood_settings(connection):
    for _ in range(3000):
        connection.frame(SETTINGS)


def flood_priorities(connection):
    for i in range(3000):
        connection.frame(PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 1))


def flood_empty_data(connection):
    connection.request(1, "PATCH", "/v2/h2/x/blobs/uploads/y", end=False)
    for _ in range(3000):
        connection.frame(DATA, 0, 1)


def flood_window_updates(connection):
    for _ in range(6000):
        connection.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))


def flood_continuations(connection):
    connection.frame(HEADERS, END_STREAM, 1, connection.block("GET", "/v2/"))
    for _ in range(3000):
        connection.frame(CONTINUATION, 0, 1, b"")


def flood_unknown(connection):
    for _ in range(3000):
        connection.frame(77, 0, 0, b"x")


@pytest.mark.parametrize("flood", [flood_resets, flood_provoked_resets, flood_pings, flood_settings, flood_priorities,
                                   flood_empty_data, flood_window_updates, flood_continuations, flood_unknown],
                         ids=lambda flood: flood.__name__)
def test_flood_ends_its_connection_and_no_other(server, flood):
    other = frames(server)
    connection = frames(server)
    try:
        flood(connection)
    except (BrokenPipeError, ConnectionError):
        pass
    error = connection.end()
    assert error in (ENHANCE_YOUR_CALM, None), error  # None: a reset overtook it
    other.request(1, "GET", "/v2/")
    assert other.status(1) == 200
    assert server.is_running()


def test_bomb_of_packed_headers_is_refused(server):
    connection = frames(server)
    # One field of 4000 bytes in the table, then referred to again and again: each byte unpacks to 4000.
    block = connection.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "a"),
                                       ("x-bomb", "b" * 3900)])
    block += bytes([0x80 | 62]) * 12000
    before = server.rss_kib()
    connection.frame(HEADERS, END_HEADERS | END_STREAM, 1, block[:16000])
    connection.until(lambda f: f[0] in (GOAWAY, RST_STREAM) or (f[0] == HEADERS and f[2] == 1))
    if 1 in connection.replies:
        assert int(dict(connection.replies[1])[":status"]) == 431
    assert server.rss_kib() - before < 20_000
    assert frames(server).request(1, "GET", "/v2/").status(1) == 200


def test_more_than_the_window_is_a_flow_control_error(server):
    location = server.client(protocol="http/1.1").begin_upload("h2/overrun")
    connection = frames(server)
    connection.request(1, "PATCH", location, end=False)
    try:
        for _ in range(200):
            connection.data(1, bytes(16384))
    except (BrokenPipeError, ConnectionError):
        pass
    try:
        connection.until(lambda f: f[0] in (RST_STREAM, GOAWAY))
        assert FLOW_CONTROL_ERROR in (connection.resets.get(1), connection.goaway and connection.goaway[1])
    except (EOFError, ConnectionError):
        pass
    assert frames(server).request(1, "GET", "/v2/").status(1) == 200


# ---- time ----

def test_slow_settings_and_slow_heads_end_the_connection(start):
    server = start(config={"http": {"head_timeout": "500ms"}})
    mute = frames(server, settle=False).send(PREFACE)
    assert mute.frame(SETTINGS).end() == SETTINGS_TIMEOUT, "our settings were never acknowledged"
    slow = frames(server)
    slow.frame(HEADERS, END_STREAM, 1, slow.block("GET", "/v2/"))
    assert slow.end() == ENHANCE_YOUR_CALM
    server.wait_log(r'"status":408,"refused":"the request\'s headers did not arrive in time"')


def test_idle_connection_is_ended_with_goaway(start):
    server = start(config={"http": {"idle_timeout": "300ms"}})
    connection = frames(server)
    connection.request(1, "GET", "/v2/")
    assert connection.status(1) == 200
    assert connection.end() == NO_ERROR


def test_upload_under_way_gets_its_answer_while_the_server_drains(start):
    server = start()
    data = os.urandom(500_000)
    location = server.client(protocol="http/1.1").begin_upload("h2/drain")
    connection = frames(server)
    connection.request(1, "PUT", with_query(location, digest=digest_of(data)), ("content-length", str(len(data))),
                       end=False)
    connection.until(lambda f: f[0] == WINDOW_UPDATE and f[2] == 1)
    server.signal(signal.SIGTERM)
    connection.until(lambda f: f[0] == GOAWAY)
    sent = 0
    while sent < len(data):
        room = min(connection.window.get(1, 0), 16384, len(data) - sent)
        if room == 0:
            connection.read()
            continue
        connection.window[1] -= room
        connection.data(1, data[sent:sent + room], sent + room == len(data))
        sent += room
    assert connection.status(1) == 201
    assert connection.end() == NO_ERROR
    assert server.wait() == 0


# ---- clients of others ----

def test_log_and_metrics_tell_of_it(start):
    server = start()
    connection = frames(server)
    connection.request(1, "GET", "/v2/h2/log/tags/list", ("user-agent", "frames"))
    assert connection.status(1) == 404
    server.wait_log(r'"path":"/v2/h2/log/tags/list","status":404,.*"user_agent":"frames","protocol":"HTTP/2"')


@pytest.mark.threads
def test_h2load_gets_nothing_but_200(server):
    run = subprocess.run(["h2load", "-n", "5000", "-c8", "-m32", f"http://{server.address}/v2/"], capture_output=True,
                         text=True, timeout=120)
    assert "5000 succeeded, 0 failed, 0 errored" in run.stdout, run.stdout


def test_nghttp_pulls_and_curl_pushes(start, tmp_path):
    certificate = certificates.self_signed(tmp_path)
    server = start(config={"http": {"tls": {"certificate": certificate.certificate, "key": certificate.key}}})
    data = os.urandom(3_000_000)
    (tmp_path / "blob").write_bytes(data)
    base = f"https://localhost:{server.port}"
    curl = ["curl", "-sS", "--fail", "--http2", "--cacert", certificate.certificate]
    run = subprocess.run([*curl, "-X", "POST", "-w", "%{http_version}", "--data-binary", f"@{tmp_path}/blob",
                          f"{base}/v2/h2/curl/blobs/uploads/?digest={digest_of(data)}"], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0 and run.stdout == "2", run
    run = subprocess.run(["nghttp", f"{base}/v2/h2/curl/blobs/{digest_of(data)}"], capture_output=True, timeout=120)
    assert run.stdout == data, run.stderr[-300:]


@pytest.mark.threads
def test_pushes_at_once_over_tls_all_arrive(start, tmp_path):
    certificate = certificates.self_signed(tmp_path)
    server = start(config={"http": {"tls": {"certificate": certificate.certificate, "key": certificate.key}}})
    failures = []

    def push(number):
        try:
            context = certificates.context(certificate, protocols=["h2"])
            client = server.client(tls=context, protocol="h2")
            layer = os.urandom(700_000)
            manifest = client.push_image(f"h2/many{number}", "v1", layers=(layer,))
            assert client.get(f"/v2/h2/many{number}/manifests/v1").body == manifest
            assert client.get(f"/v2/h2/many{number}/blobs/{digest_of(layer)}").body == layer
        except Exception as error:  # noqa: BLE001 - told below
            failures.append((number, error))

    threads = [threading.Thread(target=push, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
