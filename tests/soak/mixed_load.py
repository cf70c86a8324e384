# SPDX-License-Identifier: Apache-2.0
"""Ten minutes (MINATO_SECONDS) of everything at once, over HTTP/1.1 and HTTP/2, plain and TLS, with clients that reset,
stall and vanish: memory stays flat, descriptors come back, and the server ends cleanly."""
import os
import random
import socket
import statistics
import struct
import threading
import time
from pathlib import Path

import certificates
from http2_client import CANCEL, RST_STREAM, Frames
from minato import Minato, digest_of

SECONDS = int(os.environ.get("MINATO_SECONDS", "600"))
# After the first half, in which caches fill: growth that a leak of one request in a hundred would exceed by far.
GROWTH_MAX = 1.10
SLACK_KIB = 4096


class Load:
    def __init__(self, server, certificate, tls_port):
        self.server = server
        self.tls_port = tls_port
        self.contexts = {name: certificates.context(certificate, protocols=[name]) for name in ("h2", "http/1.1")}
        self.end = time.monotonic() + SECONDS
        self.failures = []
        self.done = 0

    def client(self, protocol, is_secure):
        client = self.server.client(protocol=protocol, tls=self.contexts[protocol] if is_secure else None)
        client.port = self.tls_port if is_secure else self.server.port
        return client

    def push_and_pull(self, number, protocol, is_secure):
        numbers = random.Random(number)
        client = self.client(protocol, is_secure)
        layer = numbers.randbytes(numbers.choice([100, 70_000, 1_500_000]))
        repository = f"soak/r{number % 20}"
        manifest = client.push_image(repository, f"v{number % 5}", layers=(layer,))
        assert client.get(f"/v2/{repository}/blobs/{digest_of(layer)}").body == layer
        assert client.get(f"/v2/{repository}/manifests/{digest_of(manifest)}").body == manifest
        assert client.get(f"/v2/{repository}/tags/list").status == 200
        client.close()

    def reset(self, number):
        client = self.client("http/1.1", False)
        location = client.begin_upload("soak/reset")
        connection = Frames(self.server.host, self.server.port)
        connection.request(1, "PATCH", location, end=False)
        connection.read()
        connection.frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))
        connection.request(3, "GET", "/v2/")
        assert connection.status(3) == 200
        connection.close()
        client.request("DELETE", location)
        client.close()

    def vanish(self, number):
        with socket.create_connection((self.server.host, self.server.port), timeout=20) as plain:
            plain.sendall(b"PUT /v2/soak/vanish/blobs/uploads/x?digest=sha256:" + b"0" * 64 +
                          b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"[:random.Random(number).randrange(70)])
        with socket.create_connection((self.server.host, self.tls_port), timeout=20) as plain:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01"[:number % 9])

    def run(self, work, *arguments):
        number = random.randrange(1 << 30)
        while time.monotonic() < self.end and not self.failures:
            try:
                work(number, *arguments)
                self.done += 1
            except Exception as error:  # noqa: BLE001 - told below
                self.failures.append((work.__name__, arguments, number, repr(error)))
            number += 1


def descriptors(server):
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def test_memory_is_flat_and_nothing_is_left_over(tmp_path):
    certificate = certificates.self_signed(tmp_path)
    config = {"http": {"tls": {"certificate": certificate.certificate, "key": certificate.key}},
              "auth": {"anonymous": "push"}}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        tls_port = probe.getsockname()[1]
    with Minato(config=config, arguments=["--listen", f"127.0.0.1:{tls_port}", "--listen",
                                          "127.0.0.1:0 plain"]) as server:
        load = Load(server, certificate, tls_port)
        load.push_and_pull(0, "http/1.1", False)
        before = descriptors(server)
        work = [(load.push_and_pull, protocol, is_secure) for protocol in ("h2", "http/1.1")
                for is_secure in (False, True)] + [(load.reset,), (load.vanish,)]
        threads = [threading.Thread(target=load.run, args=one) for one in work]
        for thread in threads:
            thread.start()
        samples = []
        while time.monotonic() < load.end and not load.failures:
            time.sleep(SECONDS / 200)
            samples.append(server.rss_kib())
        for thread in threads:
            thread.join()
        assert load.failures == []
        assert load.done > SECONDS
        middle, last = samples[len(samples) // 2:len(samples) * 3 // 4], samples[len(samples) * 3 // 4:]
        assert statistics.median(last) <= statistics.median(middle) * GROWTH_MAX + SLACK_KIB, samples
        deadline = time.monotonic() + 30
        while descriptors(server) > before:
            assert time.monotonic() < deadline, (before, descriptors(server))
            time.sleep(0.1)
        print(f"{load.done} pieces of work, RSS {min(samples)} to {max(samples)} KiB")
