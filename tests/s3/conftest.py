# SPDX-License-Identifier: Apache-2.0
"""One store for all tests of this folder."""
import pytest

from ceph import Ceph


@pytest.fixture(scope="session")
def store():
    with Ceph() as ceph:
        yield ceph
