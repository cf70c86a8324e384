# SPDX-License-Identifier: Apache-2.0
"""Two servers for all client tests, an open one and one with passwords; each client gets repositories of its own."""
import images
import minato
import pytest


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
def large_file(tmp_path_factory):
    """A tar with one large file, written in pieces."""
    import os
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
