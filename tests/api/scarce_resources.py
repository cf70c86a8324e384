# SPDX-License-Identifier: Apache-2.0
"""No room on the disk, no file descriptors, no connections left: clear errors, nothing half visible, and it recovers."""
import os
import subprocess
import time

import pytest

import minato
from minato import digest_of, wait_until, with_query

DATA = os.urandom(6_000_000)
DIGEST = digest_of(DATA)


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode != 0:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder, leave=0):
    """Takes all room but `leave` bytes; returns the file to remove."""
    path = folder / "filler"
    room = os.statvfs(folder)
    with open(path, "wb") as out:
        left = room.f_bavail * room.f_frsize - leave
        while left > 0:
            left -= out.write(bytes(min(left, 1 << 20)))
    return path


def room_of(folder):
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def test_upload_that_does_not_fit_answers_507_and_leaves_nothing_visible(small_disk, start):
    server = start(data=small_disk / "data")
    client = server.client()
    old = client.push_image("t/full", "v1", [b"small"])
    before = room_of(small_disk)
    big = os.urandom(30_000_000)
    reply = client.request("POST", f"/v2/t/full/blobs/uploads/?digest={digest_of(big)}", body=big)
    assert reply.status == 507, reply
    assert reply.json()["errors"][0]["message"]
    assert client.head(f"/v2/t/full/blobs/{digest_of(big)}").status == 404
    # What was there is there, what fits is taken, and the room comes back.
    assert client.get("/v2/t/full/manifests/v1").body == old
    wait_until(lambda: room_of(small_disk) > before - 2_000_000, 15, "return of the room")
    client.push_image("t/full", "v2", [os.urandom(3_000_000)])


def test_patch_that_does_not_fit_answers_507_and_the_session_can_be_cancelled(small_disk, start):
    server = start(data=small_disk / "data")
    client = server.client()
    before = room_of(small_disk)
    location = client.begin_upload("t/full")
    big = os.urandom(30_000_000)
    reply = client.request("PATCH", location, body=iter([big[at:at + 65_536] for at in range(0, len(big), 65_536)]),
                           headers={"Transfer-Encoding": "chunked"}, chunked=True)
    assert reply.status == 507, reply
    assert client.request("DELETE", location).status in (204, 404)
    wait_until(lambda: room_of(small_disk) > before - 1_000_000, 15, "return of the room")
    client.push_blob("t/full", DATA)


def test_full_disk_refuses_writes_with_507_and_goes_on_reading(small_disk, start):
    server = start(data=small_disk / "data")
    client = server.client()
    manifest = client.push_image("t/full", "v1", [DATA])
    config = b'{"another":"config"}'
    client.push_blob("t/full", config)
    filler = fill(small_disk)
    client.close()
    reply = client.request("POST", f"/v2/t/full/blobs/uploads/?digest={digest_of(b'new')}", body=b"new")
    assert reply.status == 507, reply
    moved = minato.image_manifest(config, [DATA])
    reply = client.put_manifest("t/full", "v1", moved)
    assert reply.status == 507, reply
    # The tag is what it was, whole, and the new manifest is nowhere.
    assert client.get("/v2/t/full/manifests/v1").body == manifest
    assert client.get(f"/v2/t/full/blobs/{DIGEST}").body == DATA
    assert client.get(f"/v2/t/full/manifests/{digest_of(moved)}").status == 404
    assert client.get("/v2/t/full/tags/list").json()["tags"] == ["v1"]
    filler.unlink()
    assert client.put_manifest("t/full", "v1", moved).status == 201
    assert client.get("/v2/t/full/manifests/v1").body == moved


def test_session_hit_by_a_full_disk_goes_on_when_there_is_room(small_disk, start):
    server = start(data=small_disk / "data")
    client = server.client()
    location = client.begin_upload("t/full")
    reply = client.request("PATCH", location, body=DATA[:1_000_000])
    assert reply.status == 202
    location = reply.header("location")
    filler = fill(small_disk)
    reply = client.request("PATCH", location, body=DATA[1_000_000:])
    assert reply.status == 507, reply
    filler.unlink()

    def status():
        reply = client.get(location)
        return reply if reply.status == 204 else None

    reply = wait_until(status, what="the session's status")
    have = int(reply.header("range").split("-")[1]) + 1
    assert have >= 1_000_000
    reply = client.request("PATCH", location, body=DATA[have:])
    assert reply.status == 202, reply
    reply = client.request("PUT", with_query(location, digest=DIGEST), headers={"Content-Length": "0"})
    assert reply.status == 201
    assert client.get(f"/v2/t/full/blobs/{DIGEST}").body == DATA


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def test_without_descriptors_it_answers_503_or_waits_and_then_recovers(start):
    limit = 60
    server = start(prefix=["prlimit", f"--nofile={limit}:{limit}"], config={"http": {"idle_timeout": "30s"}})
    client = server.client()
    digest = client.push_blob("t/emfile", DATA)
    before = descriptors(server)
    wires = []
    for _ in range(limit + 20):
        wire = server.wire()
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n")
        wires.append(wire)
    time.sleep(0.5)
    assert server.is_running()
    # Whoever is in is served or told to come again; reading a blob needs a descriptor that may not be there.
    try:
        reply = client.get(f"/v2/t/emfile/blobs/{digest}")
        assert reply.status in (200, 503), reply
        assert reply.status == 503 or reply.body == DATA
        reply = client.request("POST", "/v2/t/emfile/blobs/uploads/", headers={"Content-Length": "0"})
        assert reply.status in (202, 503), reply
    except (ConnectionError, TimeoutError):
        pass  # its connection was closed to make room
    for wire in wires:
        wire.close()
    client.close()

    def works():
        try:
            return server.client(timeout=5).get(f"/v2/t/emfile/blobs/{digest}").body == DATA
        except OSError:
            return False

    wait_until(works, 20, "recovery")
    wait_until(lambda: descriptors(server) <= before + 2, 20, "return of the descriptors")


def test_busy_loop_is_not_the_answer_to_missing_descriptors(start):
    """accept() that fails with EMFILE keeps the listener readable: waiting must not burn a core."""
    limit = 60
    server = start(prefix=["prlimit", f"--nofile={limit}:{limit}"])
    wires = [server.wire() for _ in range(limit + 20)]
    time.sleep(0.5)

    def cpu_ticks():
        fields = open(f"/proc/{server.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = cpu_ticks()
    time.sleep(2)
    used = (cpu_ticks() - before) / os.sysconf("SC_CLK_TCK")
    for wire in wires:
        wire.close()
    assert used < 0.5, f"{used} s of CPU in 2 s of waiting"


def test_connections_over_the_limit_are_refused_and_the_others_served(start):
    server = start(config={"http": {"connections": 16, "loops": 1}})
    first = server.client()
    assert first.get("/v2/").status == 200
    wires = [server.wire() for _ in range(40)]
    refused = 0
    for wire in wires:
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n")
    for wire in wires:
        try:
            refused += wire.reply().status == 503
        except (EOFError, OSError):
            refused += 1
    assert refused >= 20
    assert first.get("/v2/").status == 200
    for wire in wires:
        wire.close()
    wait_until(lambda: server.client().get("/v2/").status == 200, what="room for connections")
