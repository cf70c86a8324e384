# SPDX-License-Identifier: Apache-2.0
"""Many clients at once on a server whose loops share one driver: also run against the build with the thread sanitizer."""
import os
import threading

import pytest

import minato
from fault_store import FaultStore, answer, drop_after

MIB = 1 << 20
CLIENTS = 8


def push_and_pull(server, number, shared):
    """Blobs of our own and one that all push, in one piece and in parts, read back through the server; tags that move."""
    client = server.client()
    for size in (1, 70_000, 17 * MIB):
        for data in (os.urandom(size), shared[:size]):
            digest = client.push_blob("threads/blob", data)
            assert client.get(f"/v2/threads/blob/blobs/{digest}").body == data
    for version in range(3):
        manifest = client.push_image(f"threads/image-{number % 2}", "latest", layers=(b"layer", bytes([number, version])))
        assert client.get(f"/v2/threads/image-{number % 2}/manifests/{minato.digest_of(manifest)}").body == manifest
    client.close()


@pytest.mark.threads
@pytest.mark.parametrize("is_failing", [False, True], ids=["well", "with faults"])
def test_many_clients_push_and_pull_at_once(store, tmp_path, is_failing):
    failures = []
    shared = os.urandom(17 * MIB)

    def run(server, number):
        try:
            push_and_pull(server, number, shared)
        except BaseException as failure:
            failures.append(failure)

    with FaultStore(store) as faulty:
        if is_failing:  # every call is repeated now and then, and the breaker has work
            for number in range(0, 2000, 17):
                faulty.fail(answer(503, "SlowDown") if number % 2 else drop_after(), method="GET", skip=number)
        with minato.Minato(config=faulty.apply({"http": {"loops": 4}}, tmp_path)) as server:
            threads = [threading.Thread(target=run, args=(server, number)) for number in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert is_failing == any(record.fault for record in faulty.records)
    assert failures == []
