# SPDX-License-Identifier: Apache-2.0
"""minato-bench as a user runs it."""
import functools

import pytest

import minato_bench
from users import USER, server_with_user


@pytest.fixture
def bench(tmp_path):
    """bench("pull-storm", ..., url) gives its outcome."""
    return functools.partial(minato_bench.run, tmp_path)


@pytest.fixture
def load(bench):
    """load("pull-storm", ..., url=...): as the user of the server; gives the results, and the exit code among them."""
    def run(scenario, *arguments, url, **kwargs):
        outcome = bench(scenario, "--user", USER, "--quiet", "--json", "-", *arguments, url, **kwargs)
        assert outcome.code in (0, 1), outcome.errors
        return outcome.results()

    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Has a user, without whom nobody deletes."""
    with server_with_user(tmp_path_factory.mktemp("users")) as running:
        running.url = f"http://{running.address}"
        yield running


@pytest.fixture
def apart(request):
    """Options that keep a test's repositories its own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return ("--repository", "-".join(part for part in name.split("-") if part)[:100])
