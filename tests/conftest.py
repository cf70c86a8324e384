# SPDX-License-Identifier: Apache-2.0
"""What all pytest suites share: the harness on the import path, servers as fixtures, their logs beside a failure."""
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent / name) for name in ("support", "architecture")]

import minato  # noqa: E402
import shared_store  # noqa: E402

collect_ignore = ["support"]
RUN_ALL = bool(os.environ.get("MINATO_TESTS_ALL"))


def pytest_configure(config):
    # Ended by the runner, the tests still stop what they started.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and hasattr(report.longrepr, "addsection"):
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, minato.Minato):
                report.longrepr.addsection("server log", value.log_tail(15))


@pytest.fixture(scope="session", autouse=True)
def store_of_servers():
    with shared_store.from_environment():
        yield


@pytest.fixture
def run_all():
    """Whether the long tiers run."""
    return RUN_ALL


@pytest.fixture(scope="module")
def server():
    """One server with the default configuration for all tests of a file; each test takes repositories of its own."""
    with minato.Minato() as running:
        yield running


@pytest.fixture
def start():
    """start(config=..., ...) gives a running server of this test's own; stopped and checked at the end."""
    started = []

    def start_one(**kwargs):
        port = kwargs.pop("port", 0)
        one = minato.Minato(**kwargs)
        started.append(one)
        return one.start(port)

    yield start_one
    problems = []
    for one in started:
        try:
            if one.is_running():
                one.stop()
            else:
                assert not list(one.folder.glob("sanitizer*")), one.log_tail()
        except AssertionError as error:
            problems.append(str(error))
        finally:
            one.kill()
            one.remove()
    assert not problems, "\n".join(problems)


@pytest.fixture
def client(server):
    one = server.client()
    yield one
    one.close()


@pytest.fixture
def repo(request):
    """A repository name of this test's own."""
    name = request.node.name.lower().replace("test_", "", 1)
    return "t/" + "".join(c if c.isalnum() else "-" for c in name).strip("-").replace("--", "-")[:100]
