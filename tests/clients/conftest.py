# SPDX-License-Identifier: Apache-2.0
"""Two servers for all client tests, an open one and one with passwords; each client gets repositories of its own."""
import os

import go_tools
import images
import minato
import pytest


def pytest_collection_modifyitems(config, items):
    """Clients in Go take minutes to build: only with --all, and where there is a Go that builds them."""
    dropped = []
    for item in items:
        marker = item.get_closest_marker("go_client")
        if marker and not os.environ.get("MINATO_TESTS_ALL"):
            dropped.append(item)
        elif marker and go_tools.missing(marker.args[0]):
            item.add_marker(pytest.mark.skip(reason=go_tools.missing(marker.args[0])))
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session")
def registry():
    with minato.Minato() as server:
        yield server


@pytest.fixture(scope="session")
def locked(tmp_path_factory):
    users = images.htpasswd_file(tmp_path_factory.mktemp("users") / "htpasswd", alice="wonder land", bob="builder")
    with minato.Minato(config={"auth": {"anonymous": "none", "htpasswd": {"file": users}}}) as server:
        yield server


@pytest.fixture(scope="session")
def alice(locked):
    """A client of ours that may do everything, to look at what the others left."""
    one = locked.client(user="alice", password="wonder land")
    yield one
    one.close()


@pytest.fixture(scope="session")
def large_file(tmp_path_factory):
    """A tar with one large file, written in pieces."""
    import tarfile

    folder = tmp_path_factory.mktemp("large")
    with open(folder / "large.bin", "wb") as out:
        left = images.LARGE
        while left > 0:
            left -= out.write(os.urandom(min(left, 1 << 20)))
    with tarfile.open(folder / "large.tar", "w") as archive:
        archive.add(folder / "large.bin", "large.bin")
    (folder / "large.bin").unlink()
    return folder / "large.tar"
