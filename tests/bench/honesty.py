# SPDX-License-Identifier: Apache-2.0
"""What goes wrong shows: stalls in the latencies, wrong answers among the errors."""
import os
import signal
import threading
import time

import pytest

from meddler import Meddler
from minato_bench import SMALL

STALL_S = 0.05


class Stalls:
    """Stops the server for 50 ms in every second."""

    def __init__(self, server):
        self.pid, self.is_over = server.pid, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over.wait(1 - STALL_S):
            os.kill(self.pid, signal.SIGSTOP)
            try:
                time.sleep(STALL_S)
            finally:
                os.kill(self.pid, signal.SIGCONT)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def p99_ms(results):
    return results["operations"]["get_manifest"]["latency_us"]["p99"] / 1000


def test_open_loop_shows_a_stall_of_50_ms_every_second_and_closed_loop_hides_it(server, load, apart):
    arguments = ("pull-storm", "--layers", 1, "--layer-size", 1, *apart, "--duration", "3s")
    load(*arguments, "--jobs", 1, url=server.url)
    with Stalls(server):
        opened = load(*arguments, "--rate", 100, "--clients", 32, url=server.url)
        closed = load(*arguments, "--clients", 1, url=server.url)
    assert opened["exit"] == closed["exit"] == 0
    assert opened["jobs"]["count"] == 300, "all that were due, and no more"
    assert p99_ms(opened) > 25
    assert p99_ms(closed) < p99_ms(opened) / 2
    # The stalls were there.
    assert closed["operations"]["get_manifest"]["latency_us"]["max"] / 1000 > 25 or closed["jobs"]["latency_us"]["max"] / 1000 > 25


def test_open_loop_counts_the_wait_for_a_client(server, load, apart):
    """One client cannot do it: the queue grows, and the latencies with it."""
    load("pull-storm", "--layers", 20, "--layer-size", 1, *apart, "--jobs", 1, url=server.url)
    results = load("pull-storm", "--layers", 20, "--layer-size", 1, *apart, "--clients", 1, "--rate", 2000, "--jobs", 200,
                   url=server.url)
    assert results["exit"] == 0 and results["jobs"]["count"] == 200
    took_ms = results["seconds"] * 1000
    assert results["jobs"]["latency_us"]["max"] / 1000 > took_ms - 250
    assert results["operations"]["get_manifest"]["latency_us"]["max"] / 1000 > took_ms - 250
    assert results["operations"]["get_blob"]["latency_us"]["p50"] / 1000 < 100, "these were due when they were asked"


def cut(method, path, answer):
    if method == "GET" and "/blobs/" in path:
        answer.cut = len(answer.body) // 2


def change_a_byte(method, path, answer):
    if method == "GET" and "/blobs/" in path:
        answer.body = answer.body[:-1] + bytes([answer.body[-1] ^ 1])


def tell_another_digest(method, path, answer):
    if method == "GET" and "/blobs/" in path:
        answer.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64


def leave_out_the_end(method, path, answer):
    if method == "GET" and "/blobs/" in path:
        answer.body = answer.body[:-1]


def change_the_manifest(method, path, answer):
    if method == "GET" and "/manifests/" in path:
        answer.body = answer.body.replace(b"gzip", b"zstd", 1)


def refuse(method, path, answer):
    if method == "GET" and "/manifests/" in path:
        answer.status = 503


@pytest.mark.parametrize("meddle, operation, kind", [
    (cut, "get_blob", "truncated"),
    (change_a_byte, "get_blob", "wrong_digest"),
    (tell_another_digest, "get_blob", "wrong_digest"),
    (leave_out_the_end, "get_blob", "wrong_size"),
    (change_the_manifest, "get_manifest", "wrong_digest"),
    (refuse, "get_manifest", "status_503"),
], ids=lambda value: getattr(value, "__name__", value))
def test_wrong_answer_is_an_error(server, load, apart, meddle, operation, kind):
    arguments = ("pull-storm", *SMALL, *apart, "--clients", 2, "--jobs", 3)
    assert load(*arguments, url=server.url)["exit"] == 0
    with Meddler(server, meddle) as proxy:
        results = load(*arguments, url=proxy.url)
    assert results["exit"] == 1
    assert results["errors"] == {kind: 3}
    assert results["operations"][operation]["errors"] == {kind: 3}
    assert results["jobs"]["errors"] == {kind: 3} and results["jobs"]["count"] == 0


def test_server_that_cannot_be_reached_is_an_error(load):
    results = load("pull-storm", *SMALL, url="http://127.0.0.1:1")
    assert results["exit"] == 1
    assert results["operations"]["ping"]["errors"] == {"connect": 1}
    assert "could not be prepared" in results["stderr"]
