# SPDX-License-Identifier: Apache-2.0
"""Replicas whose clocks are wrong go by the store's. Their clocks are set by libfaketime, which no sanitizer lets in: these
run the release build.
"""
import os
import time
import urllib.request
from pathlib import Path

import pytest

import minato
from minato import ROOT, digest_of, with_query

MIB = 1 << 20
RELEASE = ROOT / "build" / "release" / "minato"
SKEWS = {"right": 0, "ahead": 10, "behind": -10}  # minutes


def server_at(config, minutes):
    """A server whose clock is off by so much."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return minato.Minato(config=config, program=RELEASE, env={"LD_PRELOAD": str(library), "FAKETIME": f"{minutes:+d}m",
                                                              "FAKETIME_DONT_FAKE_MONOTONIC": "1"})


@pytest.fixture(scope="module")
def replicas(store, tmp_path_factory):
    config = store.apply({"redirect": {"enabled": True}}, tmp_path_factory.mktemp("clocks"))
    servers = {name: server_at(config, minutes) for name, minutes in SKEWS.items()}
    for server in servers.values():
        server.start()
    yield servers
    for server in servers.values():
        server.stop()
        server.remove()


def path_of(location):
    return location if location.startswith("/") else "/" + location.split("/", 3)[3]


def patch(server, location, data):
    client = server.client()
    reply = client.request("PATCH", location, body=data, headers={"Content-Length": str(len(data))})
    client.close()
    return reply


def test_a_clock_that_is_wrong_is_told(replicas):
    """The servers' own logs are dated by their clocks."""
    for name, said in (("ahead", "behind"), ("behind", "ahead")):
        line = replicas[name].wait_log(r'"storage.clock_differs","store_is":"(\w+)","by_s":(\d+)')
        assert line.group(1) == said and 590 <= int(line.group(2)) <= 610
    assert "clock_differs" not in replicas["right"].log_text()


@pytest.mark.parametrize("order", [("right", "ahead", "behind"), ("ahead", "behind", "right"), ("behind", "right", "ahead")])
def test_an_upload_goes_on_at_a_replica_with_another_clock(replicas, order):
    chunks = [os.urandom(17 * MIB), os.urandom(300_000)]
    digest = digest_of(b"".join(chunks))
    client = replicas[order[0]].client()
    location = path_of(client.begin_upload("clocks/moved"))
    client.close()
    for name, data in zip(order, chunks):
        reply = patch(replicas[name], location, data)
        assert reply.status == 202, reply
        location = path_of(reply.header("location"))
    client = replicas[order[2]].client()
    reply = client.request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"})
    assert reply.status == 201, reply
    client.close()


@pytest.mark.parametrize("holder", SKEWS)
def test_no_claim_is_taken_from_a_replica_that_is_at_work(replicas, holder):
    data = os.urandom(600_000)
    client = replicas[holder].client()
    location = path_of(client.begin_upload("clocks/held"))
    client.close()
    wire = replicas[holder].wire()
    wire.head("PATCH", location, f"Content-Length: {len(data)}").send(data[:400_000])
    time.sleep(1)  # until the claim stands, and some bytes are behind it
    for name in SKEWS:
        assert patch(replicas[name], location, b"another").status in (409, 416), name
    wire.send(data[400_000:])
    reply = wire.reply()
    assert reply.status == 202, reply
    client = replicas[holder].client()
    reply = client.request("PUT", with_query(path_of(reply.header("location")), digest=digest_of(data)),
                           headers={"Content-Length": "0"})
    assert reply.status == 201, reply
    client.close()


@pytest.mark.parametrize("name", SKEWS)
def test_urls_serve_and_are_the_same_everywhere(replicas, name):
    client = replicas[name].client()
    digest = client.push_blob("clocks/url", f"bytes of {name}".encode())
    with urllib.request.urlopen(client.get(f"/v2/clocks/url/blobs/{digest}").header("location")) as answer:
        assert answer.read() == f"bytes of {name}".encode()
    client.close()
    urls = set()
    for server in list(replicas.values()) * 2:
        client = server.client()
        urls.add(client.get(f"/v2/clocks/url/blobs/{digest}").header("location"))
        client.close()
    assert len(urls) <= 2  # two when a window begins meanwhile


@pytest.mark.parametrize("minutes", [-1500, -20, 20, 1500])
def test_a_clock_that_the_store_would_refuse_is_set_right_by_its_answer(store, tmp_path, minutes):
    config = store.apply({"redirect": {"enabled": True}}, tmp_path)
    with server_at(config, minutes) as server:
        client = server.client()
        digest = client.push_blob("clocks/far", b"bytes")
        with urllib.request.urlopen(client.get(f"/v2/clocks/far/blobs/{digest}").header("location")) as answer:
            assert answer.read() == b"bytes"
        client.close()
