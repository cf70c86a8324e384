# SPDX-License-Identifier: Apache-2.0
"""The index in Redis: the contract of all backends, what is asked of Redis, and what a server says that cannot reach it."""
import re
import subprocess

import pytest

import minato


@pytest.mark.parametrize("program, tests_min", [("index_redis", 29), ("index_redis_keys", 20)])
def test_the_index_keeps_the_contract(redis, program, tests_min):
    path = minato.binary().parent / "tests" / f"registry_test_{program}"
    done = subprocess.run([path], env=minato.clean_environment(MINATO_TESTS_REDIS_URL=redis.url),
                          capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", output))) >= tests_min
