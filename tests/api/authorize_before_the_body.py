# SPDX-License-Identifier: Apache-2.0
"""Nothing of a body is taken before the request is allowed: a refused client can make the server read under 1 MB."""
import base64
import re
import socket
import subprocess
from pathlib import Path

import pytest

import minato
from minato import wait_until

SIZE = 300_000_000
LIMIT = 1_000_000


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A server that lets nobody in without a password."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "users").write_text("")
    port = minato.free_port()
    with minato.Minato(folder=folder / "server", config={
        "auth": {"anonymous": "none", "htpasswd": {"file": folder / "users"}},
        "metrics": {"listen": f"127.0.0.1:{port}"},
    }) as server:
        server.metrics_port = port
        yield server


def read_so_far(server):
    """Bytes the process has read, from sockets and files, as the kernel counts them."""
    return int(re.search(r"rchar: (\d+)", Path(f"/proc/{server.pid}/io").read_text()).group(1))


def body_bytes_counted(server):
    text = minato.Client("127.0.0.1", server.metrics_port).get("/metrics").body.decode()
    return minato.metrics(text)["minato_request_body_bytes_total"]


@pytest.mark.parametrize("framing", [f"Content-Length: {SIZE}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("method, path", [
    ("PUT", "/v2/t/x/blobs/uploads/00000000-0000-4000-8000-000000000000?digest=sha256:" + "0" * 64),
    ("PATCH", "/v2/t/x/blobs/uploads/00000000-0000-4000-8000-000000000000"),
    ("POST", "/v2/t/x/blobs/uploads/?digest=sha256:" + "0" * 64),
    ("PUT", "/v2/t/x/manifests/v1"),
])
def test_300_mb_refused_with_401_after_reading_under_1_mb(closed, method, path, framing):
    read_before, counted_before = read_so_far(closed), body_bytes_counted(closed)
    with closed.wire() as wire:
        # A small buffer of ours shows how much the server's side took.
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        wire.head(method, path, framing)
        if framing.startswith("Transfer"):
            wire.send(b"%x\r\n" % SIZE)
        sent = wire.send_until_refused(SIZE)
        reply = wire.reply()
        assert (reply.status, reply.error_code()) == (401, "UNAUTHORIZED")
        assert reply.header("www-authenticate")
        assert wire.is_closed(10)
    read = read_so_far(closed) - read_before
    assert read < LIMIT, f"the server read {read} bytes of a body it refused"
    assert sent < 8 * LIMIT, f"the client could send {sent} bytes: the kernel's buffers do not explain that"
    assert body_bytes_counted(closed) == counted_before


def test_client_that_asks_first_sends_nothing(closed):
    with closed.wire() as wire:
        wire.head("PATCH", "/v2/t/x/blobs/uploads/u", f"Content-Length: {SIZE}", "Expect: 100-continue")
        assert wire.reply().status == 401


@pytest.mark.parametrize("password, statuses", [("wonder", [100, 201]), ("wrong", [401])])
def test_100_continue_waits_for_the_password_to_be_checked(start, tmp_path, password, statuses):
    """bcrypt at a cost of a second and more holds the request before "authorize" for as long."""
    hashed = subprocess.run(["htpasswd", "-nbB", "-C", "14", "alice", "wonder"], check=True, capture_output=True)
    (tmp_path / "users").write_bytes(hashed.stdout)
    server = start(config={"auth": {"htpasswd": {"file": tmp_path / "users"}}})
    body = b"the layer"
    basic = base64.b64encode(f"alice:{password}".encode()).decode()
    with server.wire() as wire:
        wire.head("POST", f"/v2/t/x/blobs/uploads/?digest={minato.digest_of(body)}", f"Content-Length: {len(body)}",
                  "Expect: 100-continue", f"Authorization: Basic {basic}")
        assert wire.silent(0.3)
        heard = [wire.reply().status]
        if heard == [100]:
            heard.append(wire.send(body).reply().status)
        assert heard == statuses


def test_nothing_is_written_for_a_refused_client(closed):
    def files():
        return sorted(str(path) for path in closed.data.rglob("*") if path.is_file())

    before = files()
    with closed.wire() as wire:
        wire.head("POST", "/v2/t/x/blobs/uploads/?digest=sha256:" + "0" * 64, "Content-Length: 100").send(b"x" * 100)
        assert wire.reply().status == 401
    assert files() == before


def test_many_refused_clients_cost_no_memory(closed):
    wires = []
    closed.client().get("/v2/")
    before = closed.rss_kib()
    for _ in range(50):
        wire = closed.wire()
        wire.head("PATCH", "/v2/t/x/blobs/uploads/u", f"Content-Length: {SIZE}")
        wires.append(wire)
    for wire in wires:
        wire.send_until_refused(500_000, stall_s=0.05)
    grown = closed.rss_kib() - before
    for wire in wires:
        wire.close()
    # The sanitizer keeps freed memory for a while; a body kept per connection would be far more.
    assert grown < 60_000, f"{grown} KiB more for 50 refused clients"
    wait_until(lambda: closed.client().get("/healthz").status == 200)
