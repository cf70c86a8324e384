# SPDX-License-Identifier: Apache-2.0
"""One folder, and the two programs that take turns on it."""
import pytest

import minato
from docker_registry import DockerRegistry
from images import htpasswd_file
from registry_folder import RegistryFolder


class Turns:
    """`with turns.minato() as client:` and `with turns.docker_registry() as client:` serve the folder one after the
    other; each starts cold and is stopped before the next one begins."""

    def __init__(self, root):
        self.folder = RegistryFolder(root)
        self.root = root

    def minato(self):
        """Its client has a password: without one nobody deletes."""
        self.root.parent.mkdir(exist_ok=True)
        users = htpasswd_file(self.root.parent / f"{self.root.name}.htpasswd", alice="secret")
        server = minato.Minato(data=self.root, config={"auth": {"htpasswd": {"file": users}}})
        return Turn(server, user="alice", password="secret")

    def docker_registry(self):
        return Turn(DockerRegistry(self.root))

    def garbage_collect(self, *flags):
        one = DockerRegistry(self.root)
        try:
            return one.garbage_collect(*flags)
        finally:
            one.home.cleanup()

    def of(self, name):
        """By name, for tests that run both ways."""
        return {"minato": self.minato, "docker-registry": self.docker_registry}[name]()


class Turn:
    def __init__(self, server, **client):
        self.server = server
        self.client_options = client

    def __enter__(self):
        self.server.__enter__()
        self.client = self.server.client(**self.client_options)
        return self.client

    def __exit__(self, *exception):
        self.client.close()
        self.server.__exit__(*exception)


@pytest.fixture
def turns(tmp_path):
    return Turns(tmp_path / "root")


@pytest.fixture
def make_turns(tmp_path):
    """For tests that need several folders: each by a name."""
    return lambda name: Turns(tmp_path / name)


@pytest.fixture(params=["docker-registry", "minato"])
def writer(request):
    return request.param


@pytest.fixture
def reader(writer):
    """The other one."""
    return "minato" if writer == "docker-registry" else "docker-registry"
