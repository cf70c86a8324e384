# SPDX-License-Identifier: Apache-2.0
"""One store and one Redis for all tests of this folder."""
import pytest

from ceph import Ceph
from redis_server import RedisServer


@pytest.fixture(scope="session")
def store():
    with Ceph() as ceph:
        yield ceph


@pytest.fixture(scope="session")
def redis():
    with RedisServer() as server:
        yield server
