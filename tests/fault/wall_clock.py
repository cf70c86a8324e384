# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is put right while the server runs: what it waits for comes when it would have come."""
import pytest

from skewed import Skewed

TEN_MINUTES = 600


@pytest.fixture
def server():
    with Skewed(config={"http": {"body_timeout": "3s", "loops": 1}}) as running:
        yield running


def test_a_clock_put_back_delays_no_timeout(server):
    location = server.client().begin_upload("clock/back")
    with server.wire(timeout=20) as wire:
        wire.head("PATCH", location, "Content-Length: 1000", "Expect: 100-continue")
        assert wire.reply().status == 100  # from now on it waits for the body
        server.put_ahead(-TEN_MINUTES)
        assert wire.reply().status == 408


def test_a_clock_put_forward_ends_nothing(server):
    with server.wire() as idle, server.wire() as uploading:
        idle.head("GET", "/v2/")
        assert idle.reply().status == 200
        location = server.client().begin_upload("clock/forward")
        uploading.head("PATCH", location, "Content-Length: 20", "Expect: 100-continue")
        assert uploading.reply().status == 100
        server.put_ahead(TEN_MINUTES)
        uploading.send(b"x" * 20)
        assert uploading.reply().status == 202
        idle.head("GET", "/v2/")
        assert idle.reply().status == 200
